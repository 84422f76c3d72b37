/// Configures, masks or triggers interrupts of one type; the reply has no payload.
///
/// Source: vfio-user specification, `VFIO_USER_DEVICE_SET_IRQS`.
public struct SetIRQs: WireMessage {
  /// What is done to the interrupts.
  public enum Action: UInt32, Sendable {
    /// Mask them, or name the eventfds that announce masking.
    case mask = 0x08
    /// Unmask them, or name the eventfds that unmask (resample) them.
    case unmask = 0x10
    /// Trigger them, or name the eventfds through which they are delivered.
    case trigger = 0x20
  }

  /// To which interrupts of the range the action applies.
  public enum Selection: Hashable, Sendable {
    /// All of them.
    case all
    /// Those whose byte is not zero; one byte for each interrupt of the range.
    case flagged([UInt8])
    /// The descriptors that accompany the message are assigned; without descriptors, those assigned
    /// before are taken away.
    case eventfds
  }

  /// The command that carries this payload.
  public static let command = Command.deviceSetIRQs
  /// The length of the structure in bytes, booleans excluded.
  public static let fixedByteCount = 20

  private static let dataNone: UInt32 = 0x01
  private static let dataBool: UInt32 = 0x02
  private static let dataEventfd: UInt32 = 0x04

  /// What is done.
  public var action: Action
  /// To which interrupts of the range.
  public var selection: Selection
  /// Which interrupt type.
  public var index: UInt32
  /// The first interrupt of the range.
  public var start: UInt32
  /// How many interrupts; zero disables the whole type (action trigger, selection all).
  public var count: UInt32

  /// Makes a request; nothing is checked.
  public init(action: Action, selection: Selection, index: UInt32, start: UInt32, count: UInt32) {
    self.action = action
    self.selection = selection
    self.index = index
    self.start = start
    self.count = count
  }

  /// The request that disables every interrupt of a type.
  public static func disable(index: UInt32) -> SetIRQs {
    SetIRQs(action: .trigger, selection: .all, index: index, start: 0, count: 0)
  }

  /// Whether this disables every interrupt of the type.
  public var disablesAll: Bool {
    count == 0
  }

  /// Decodes a request.
  ///
  /// Throws when it is too short, `argsz` is below the structure and its data, not exactly one
  /// data flag and one action flag are set, the data has not one byte for each interrupt, the range
  /// overflows, or a count of zero goes with anything but "disable all".
  public init(decoding payload: RawSpan) throws(WireError) {
    let argumentSize: UInt32 = try payload.load(at: 0)
    let flags: UInt32 = try payload.load(at: 4)
    index = try payload.load(at: 8)
    start = try payload.load(at: 12)
    count = try payload.load(at: 16)
    guard argumentSize >= UInt32(Self.fixedByteCount) else {
      throw WireError(.badArgumentSize, "SET_IRQS argsz is below 20")
    }
    guard flags & ~0x3f == 0, let action = Action(rawValue: flags & 0x38) else {
      throw WireError(.badFlags, "SET_IRQS takes one action")
    }
    self.action = action
    guard !start.addingReportingOverflow(count).overflow else {
      throw WireError(.badRange, "SET_IRQS range overflows")
    }
    let dataByteCount = payload.byteCount - Self.fixedByteCount
    switch flags & 0x07 {
    case Self.dataNone:
      guard dataByteCount == 0 else { throw WireError(.oversized, "SET_IRQS has surplus data") }
      selection = .all
    case Self.dataBool:
      guard dataByteCount == Int(count) else {
        throw WireError(.badCount, "SET_IRQS needs one boolean for each interrupt")
      }
      guard Int(argumentSize) >= payload.byteCount else {
        throw WireError(.badArgumentSize, "SET_IRQS argsz is below the data")
      }
      selection = .flagged([UInt8](copying: try payload.slice(from: Self.fixedByteCount)))
    case Self.dataEventfd:
      // The kernel's form of the structure has the descriptors' numbers here; they mean nothing.
      guard dataByteCount == 0 || dataByteCount / 4 == Int(count) && dataByteCount % 4 == 0 else {
        throw WireError(.oversized, "SET_IRQS has surplus data")
      }
      selection = .eventfds
    default:
      throw WireError(.badFlags, "SET_IRQS takes one kind of data")
    }
    if count == 0 {
      guard start == 0, action == .trigger, selection == .all else {
        throw WireError(.badCount, "SET_IRQS of no interrupts is only for disabling")
      }
    }
  }

  /// The length of the encoded payload in bytes.
  public var encodedByteCount: Int {
    if case .flagged(let booleans) = selection { return Self.fixedByteCount + booleans.count }
    return Self.fixedByteCount
  }

  /// Writes the payload into `bytes` at `offset`; throws `truncated` when it does not fit.
  public func encode(into bytes: inout MutableRawSpan, at offset: Int) throws(WireError) {
    let data: UInt32 =
      switch selection {
      case .all: Self.dataNone
      case .flagged: Self.dataBool
      case .eventfds: Self.dataEventfd
      }
    try bytes.store(UInt32(truncatingIfNeeded: encodedByteCount), at: offset)
    try bytes.store(action.rawValue | data, at: offset + 4)
    try bytes.store(index, at: offset + 8)
    try bytes.store(start, at: offset + 12)
    try bytes.store(count, at: offset + 16)
    if case .flagged(let booleans) = selection {
      try bytes.store(bytes: booleans.rawSpan, at: offset + Self.fixedByteCount)
    }
  }
}
