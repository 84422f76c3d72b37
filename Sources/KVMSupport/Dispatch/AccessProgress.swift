import VFIOUser

/// What one vCPU brings along for each access: how far an interrupted one has come, and what it knows
/// of the address space.
///
/// Keep one for each vCPU and address space, and use it for one access after the other. It keeps what
/// was placed at its last access alive until the next one.
public struct AccessProgress: Sendable {
  /// The access that was interrupted, or nil.
  var access: GuestAccess?
  /// How many of its bytes are done, and what they read.
  private(set) var doneByteCount = 0
  private(set) var value: UInt64 = 0
  /// How often a port turned out to be closed.
  var retries = 0
  /// How far the piece in progress has come at its port.
  var port = IORegionProgress()
  /// The map that was valid when the last access began, and its number.
  var map: AddressMap?
  var generation = 0

  static let maximumRetryCount = 8

  /// No access is under way.
  public init() {}

  /// Whether an interrupted access waits to be gone on with.
  public var isUnderWay: Bool { access != nil }

  @inline(__always)
  mutating func begin() {
    access = nil
    doneByteCount = 0
    value = 0
    retries = 0
    if port.isUnderWay { port = IORegionProgress() }
  }

  /// The next `byteCount` bytes are done, and read `data`.
  @inline(__always)
  mutating func finish(_ byteCount: Int, _ data: UInt64) {
    value |= data.truncated(toByteCount: byteCount) << UInt64(8 * doneByteCount)
    doneByteCount += byteCount
  }
}
