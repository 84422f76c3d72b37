import NVMe
import VFIOUser

// How doorbells are rung other than by their registers.

extension NVMeController {
  /// What the doorbells of I/O queues are rung by, as found.
  public enum DoorbellPath: String, Sendable {
    /// Stores to the device's page.
    case mapped
    /// Messages, posted.
    case messages
    /// The driver's own memory, and messages where the device asks for them.
    case shadowAndMessages = "shadow and messages"
    /// Commands on descriptors, posted.
    case ioregionfd
    /// The driver's own memory, and eventfds where the device asks for a ring.
    case shadowAndEvents = "shadow and ioeventfd"
  }

  /// What the doorbells of I/O queues are rung by.
  public var doorbellPath: DoorbellPath {
    switch options.doorbells {
    case .ioregionfd: .ioregionfd
    case .ioeventfd: .shadowAndEvents
    case .shadow: .shadowAndMessages
    case .auto, .mapped, .trapped: mapsDoorbells ? .mapped : .messages
    }
  }

  /// The ports of doorbells that carry values, each with what it reaches; made once.
  static func makeParts(
    _ client: DeviceClient, _ registers: ClientRegion, _ options: NVMeDriverOptions
  ) throws(NVMeDriverError) -> [(part: RegionIODescriptor, port: NVMeDoorbellPort)] {
    let found = try descriptors(client, registers)
    var channels: [UInt32: IORegionChannel] = [:]
    var parts: [(part: RegionIODescriptor, port: NVMeDoorbellPort)] = []
    for entry in found.entries where entry.kind == .ioregionfd {
      let channel: IORegionChannel
      do throws(Errno) {
        // Queues that share a descriptor share its turns.
        if let known = channels[entry.descriptorIndex] {
          channel = known
        } else {
          channel = try IORegionChannel(
            adopting: try found.duplicate(at: Int(entry.descriptorIndex)),
            timeout: options.timeout)
          channels[entry.descriptorIndex] = channel
        }
      } catch {
        throw NVMeDriverError(.connection, "cannot use the descriptor of doorbells: \(error)")
      }
      parts.append((entry, NVMeDoorbellPort(channel, entry)))
    }
    return parts
  }

  private static func descriptors(
    _ client: DeviceClient, _ registers: ClientRegion
  ) throws(NVMeDriverError) -> ClientIODescriptors {
    do throws(ClientError) { return try client.ioDescriptors(region: registers) } catch {
      if error.code == .rejected {
        throw NVMeDriverError(.unsupported, "the device has no descriptors for its doorbells")
      }
      throw NVMeDriverError(error, "the descriptors of doorbells")
    }
  }

  /// Has a pair ring as the options say; the device knows the pair.
  func connectDoorbells(of pair: NVMeQueuePair) throws(NVMeDriverError) {
    switch options.doorbells {
    case .ioregionfd:
      try pair.connect { offset throws(NVMeDriverError) in try port(at: offset) }
    case .ioeventfd where pair.identifier != 0:
      // They come with the queue.
      let found = try Self.descriptors(client, registers)
      try pair.connect { offset throws(NVMeDriverError) in
        guard
          let entry = found.entries.first(where: {
            $0.kind == .ioeventfd && $0.offset == offset
              && $0.flags & RegionIODescriptor.Flags.eventMatches == 0
          }), let raw = found.rawDescriptor(at: Int(entry.descriptorIndex))
        else {
          throw NVMeDriverError(.unsupported, "the device has no eventfd for a doorbell")
        }
        return try NVMeDoorbellPort(event: raw)
      }
    default: break
    }
  }

  private func port(at offset: RegionOffset) throws(NVMeDriverError) -> NVMeDoorbellPort {
    for (part, port) in doorbellParts where part.offset.rawValue <= offset.rawValue {
      let start = offset.rawValue - part.offset.rawValue
      if start <= part.byteCount, part.byteCount - start >= 4 { return port }
    }
    throw NVMeDriverError(.unsupported, "the device has no descriptor for a doorbell")
  }
}
