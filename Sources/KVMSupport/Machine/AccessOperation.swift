/// One step of an `AccessScript`.
///
/// Widths are in bytes: 1, 2, 4, and for memory 8. A slot is the number of a result; results are 64 bits, of
/// which an access fills its width and zeroes the rest.
public indirect enum AccessOperation: Hashable, Sendable {
  /// Reads `count` times in a row, each time at an address that is `step` higher. The results go to
  /// successive slots from `into` on; nil drops them.
  case read(
    GuestSpace = .memory, at: GuestAddress, byteCount: Int, into: Int? = nil, count: UInt32 = 1,
    step: UInt32 = 0)
  /// Writes `count` times in a row; after each, `adding` is added to the value and `step` to the
  /// address.
  case write(
    GuestSpace = .memory, at: GuestAddress, UInt64, byteCount: Int, count: UInt32 = 1,
    adding: UInt64 = 0, step: UInt32 = 0)
  /// Writes what a slot holds: (result & mask) | setting.
  case writeResult(
    GuestSpace = .memory, at: GuestAddress, of: Int, byteCount: Int, mask: UInt64 = .max,
    setting: UInt64 = 0)
  /// Reads until (value & mask) == `until`, at most `limit` times; then the script ends with
  /// `AccessScriptStatus.timedOut`. Each value read goes to the slot `into`.
  case poll(
    GuestSpace = .memory, at: GuestAddress, byteCount: Int, mask: UInt64 = .max, until: UInt64,
    into: Int? = nil, limit: UInt32 = .max)
  /// Masks the 8259s (ports 0x21 and 0xa1), enables the local APIC and takes interrupts from here on.
  case enableInterrupts
  /// Sleeps until a vector was taken `count` times since the script began.
  case awaitInterrupts(vector: UInt8, count: UInt32)
  /// What the handler of a vector does from here on before it ends the interrupt: a read, a write or a
  /// `writeResult`. Handlers count in any case.
  case onInterrupt(vector: UInt8, AccessOperation)
  /// Reads `count` elements of a port into the guest's memory at `buffer`, with one string instruction.
  case readString(port: UInt16, byteCount: Int, count: UInt32, buffer: GuestAddress)
  /// Writes `count` elements of the guest's memory at `buffer` to a port, with one string instruction.
  case writeString(port: UInt16, byteCount: Int, count: UInt32, buffer: GuestAddress)
  /// Ends the script with a status of one's own, below 0x100. A script without it ends with 0.
  case exit(status: UInt8)
}
