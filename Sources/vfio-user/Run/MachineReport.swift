import KVMSupport
import VFIOUser

/// What a machine has to tell about its devices.
struct MachineReport {
  private let devices: [AttachedDevice]

  /// A report about some devices; nil for all of the machine's.
  init(_ machine: Machine, _ addresses: Set<PCIAddress>? = nil) {
    devices = machine.devices.filter { addresses?.contains($0.address) ?? true }
  }

  /// How each part of each window is reached, and what is not reached as the server wished.
  var paths: String {
    each { window in
      window.usage.map { "\(range($0.part)): \($0.part.path)" }
        + window.events.map { event in
          let value = event.matching.map { " with the value 0x" + String($0, radix: 16) } ?? ""
          return
            "\(hexadecimal(event.offset)), writes of \(event.byteCount) bytes\(value): ioeventfd"
        }
        + window.fallbacks.map { "\(hexadecimal($0.offset)): no \($0.wish), because \($0.reason)" }
    }
  }

  /// How often each way was used.
  ///
  /// What the guest does without leaving KVM (mapped memory, ioeventfds) is not seen.
  var statistics: String {
    each { window in
      let former = window.formerUsage
      return (former.isEmpty ? [] : ["before it was reached in another way: \(text(former))"])
        + window.usage.filter { !$0.counts.isEmpty }.map { usage in
          "\(range(usage.part)): \(text(usage.counts))"
        }
    }
  }

  private func text(_ counts: [AccessMechanism: Int]) -> String {
    counts.sorted { $0.key.rawValue < $1.key.rawValue }
      .map { "\($0.value) by \(name($0.key))" }.joined(separator: ", ")
  }

  private func each(_ lines: (RegionWindow) -> [String]) -> String {
    var text: [String] = []
    for device in devices {
      text.append("\(device.address) \(device.name)")
      for placement in device.placements {
        text += lines(placement.window).map { "  BAR \(placement.bar) \($0)" }
      }
    }
    return text.isEmpty ? "no devices" : text.joined(separator: "\n")
  }

  private func range(_ part: RegionPart) -> String {
    "\(hexadecimal(part.offset)), \(part.byteCount) bytes"
  }

  private func hexadecimal(_ offset: RegionOffset) -> String {
    "0x" + String(offset.rawValue, radix: 16)
  }

  private func name(_ mechanism: AccessMechanism) -> String {
    switch mechanism {
    case .message: "message"
    case .postedMessage: "posted message"
    case .mapped: "mapped memory"
    case .ioregionfd: "ioregionfd"
    case .mailbox: "mailbox"
    case .ioeventfd: "ioeventfd"
    case .monitor: "the machine itself"
    }
  }
}
