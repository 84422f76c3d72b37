import VFIOUser

/// What one vCPU brings along for each access: how far an interrupted one has come, and what it knows
/// of the address space.
///
/// Keep one for each vCPU and address space, and use it for one access after the other.
public struct AccessProgress: Sendable {
  /// The access that was interrupted, or nil.
  var access: GuestAccess?
  /// How many of its bytes are done, and what they read.
  var doneByteCount = 0
  var value: UInt64 = 0
  /// How far the part in progress has come at its port.
  var port = IORegionProgress()
  /// The map that was valid at the last access, and its number.
  var map: AddressMap?
  var generation = 0

  /// No access is under way.
  public init() {}

  /// Whether an interrupted access waits to be gone on with.
  public var isUnderWay: Bool { access != nil }
}
