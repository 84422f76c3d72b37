import Foundation
import NVMe
import Testing

@testable import VFIOUser

/// The descriptors of an `nvme`'s doorbells, as a monitor has them.
final class DoorbellPorts {
  let descriptors: ClientIODescriptors
  /// How many doorbells were rung by each kind.
  private(set) var counts: [RegionIODescriptor.Kind: Int] = [:]

  init(_ rig: NVMeRig) throws {
    descriptors = try rig.client.ioDescriptors(region: rig.registers)
  }

  var entries: [RegionIODescriptor] { descriptors.entries }

  /// The doorbells that have an eventfd, by their offsets.
  var signalled: [Int] {
    entries.filter { $0.kind == .ioeventfd }
      .map { Int($0.offset.rawValue - ControllerRegisterOffset.doorbells) }
  }

  /// What a doorbell's writes go to; an eventfd before anything else.
  func entry(_ offset: Int) -> RegionIODescriptor? {
    let place = ControllerRegisterOffset.doorbells + UInt64(offset)
    let event = entries.first { $0.kind == .ioeventfd && $0.offset.rawValue == place }
    return event
      ?? entries.first {
        $0.kind == .ioregionfd && $0.offset.rawValue <= place
          && place - $0.offset.rawValue + 4 <= $0.byteCount
      }
  }

  /// Rings a doorbell; false when it has no descriptor.
  func ring(_ value: UInt32, _ offset: Int) throws -> Bool {
    guard let entry = entry(offset),
      let raw = descriptors.rawDescriptor(at: Int(entry.descriptorIndex))
    else { return false }
    counts[entry.kind, default: 0] += 1
    let place = ControllerRegisterOffset.doorbells + UInt64(offset)
    let bytes: [UInt8]
    if entry.kind == .ioeventfd {
      bytes = [1, 0, 0, 0, 0, 0, 0, 0]
    } else {
      #expect(entry.flags & RegionIODescriptor.Flags.regionPostsWrites != 0)
      let command = IORegionCommand.write(
        UInt64(value), at: place - entry.offset.rawValue, byteCount: 4, userData: entry.value,
        isPosted: true)
      bytes = [UInt8](byteCount: IORegionCommand.byteCount) { try? command.encode(into: &$0) }
    }
    // Safety: the kernel reads the array for the time of the call.
    let sent = unsafe bytes.withUnsafeBytes { unsafe write(raw, $0.baseAddress, $0.count) }
    try #require(sent == bytes.count)
    return true
  }
}

extension [UInt8] {
  /// New bytes that a closure fills.
  init(byteCount: Int, _ body: (inout MutableRawSpan) -> Void) {
    self.init(repeating: 0, count: byteCount)
    withMutableRawSpan { body(&$0) }
  }
}

extension Array where Element == UInt8 {
  fileprivate mutating func withMutableRawSpan(_ body: (inout MutableRawSpan) -> Void) {
    var elements = mutableSpan
    // Safety: any bytes are valid elements.
    var span = unsafe elements.mutableBytes
    body(&span)
  }
}
