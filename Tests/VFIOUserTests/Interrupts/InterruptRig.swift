import Testing

@testable import VFIOUser

/// A device whose interrupts a test configures by messages. Type 0 is a line that masks itself, type 2
/// has eight vectors that can be masked.
final class InterruptRig {
  let rig: TestRig
  static let line: UInt32 = 0
  static let vectors: UInt32 = 2

  init() throws { rig = try TestRig() }

  func set(_ index: UInt32) throws -> InterruptSet {
    try #require(rig.device.services).interrupts[Int(index)]
  }

  /// Sends SET_IRQS and returns its error.
  @discardableResult
  func configure(
    _ action: SetIRQs.Action, _ selection: SetIRQs.Selection, _ index: UInt32 = vectors,
    _ range: Range<UInt32> = 0..<1, events: [CInt] = []
  ) throws -> Errno? {
    try rig.call(
      SetIRQs(
        action: action, selection: selection, index: index, start: range.lowerBound,
        count: UInt32(range.count)), descriptors: events
    ).header.failure
  }

  /// Assigns a new eventfd to a vector.
  func assign(_ vector: UInt32 = 0, _ index: UInt32 = vectors) throws -> EventDescriptor {
    let event = try EventDescriptor()
    #expect(
      try configure(
        .trigger, .eventfds, index, vector..<(vector + 1), events: [event.rawValue]) == nil)
    return event
  }
}
