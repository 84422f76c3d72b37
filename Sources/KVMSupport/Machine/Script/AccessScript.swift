import VFIOUser

/// Accesses that a guest carries out one after the other.
///
/// The same script runs on a CPU of KVM's, walked by `GuestProgram.accessScript`, and on a CPU in
/// software that replays `operations`.
public struct AccessScript: Hashable, Sendable {
  /// The port that a script's end is written to, 4 bytes wide, as an `AccessScriptStatus`.
  public static let exitPort = GuestAddress(0xf4)

  /// What is done.
  public var operations: [AccessOperation]

  /// Makes a script.
  public init(_ operations: [AccessOperation] = []) { self.operations = operations }

  /// Adds an operation at the end.
  public mutating func append(_ operation: AccessOperation) { operations.append(operation) }

  /// Adds a write of each byte of a text to a port, such as a console's.
  public mutating func print(_ text: String, port: GuestAddress = GuestAddress(0x3f8)) {
    for byte in text.utf8 {
      append(.write(.port, at: port, UInt64(byte), byteCount: 1))
    }
  }

  /// Puts the table where the CPU looks for it, and zeroes the results. `memory` begins at the guest's address 0.
  ///
  /// - Throws: `EINVAL` for an operation that cannot be encoded, or a place outside of the memory; `E2BIG` for a
  ///   script that is too long.
  public func load(into memory: SharedMemory, _ placement: AccessScriptPlacement) throws(Errno) {
    let bytes = try encoded(resultCount: placement.resultCount)
    guard bytes.count <= placement.tableByteCount else { throw .argListTooLong }
    try memory.write(at: Int(clamping: placement.table.rawValue), from: bytes.rawSpan)
    let zeroes = [UInt8](repeating: 0, count: 8 * placement.resultCount)
    try memory.write(at: Int(clamping: placement.results.rawValue), from: zeroes.rawSpan)
  }

  /// The first `count` results that a script has left.
  ///
  /// - Throws: `EINVAL` for more than there is room for.
  public static func results(
    _ count: Int, in memory: SharedMemory, _ placement: AccessScriptPlacement
  ) throws(Errno) -> [UInt64] {
    guard (0...placement.resultCount).contains(count) else { throw .invalidArgument }
    var results: [UInt64] = []
    for slot in 0..<count {
      results.append(try memory.load64(at: Int(placement.results.rawValue) + 8 * slot))
    }
    return results
  }

  /// How often a CPU has taken a vector, by now.
  ///
  /// - Throws: `EINVAL` when the workspace lies outside of the memory.
  public static func interruptCount(
    vector: UInt8, in memory: SharedMemory, _ placement: AccessScriptPlacement
  ) throws(Errno) -> UInt32 {
    let counters = placement.workspace.rawValue + AccessScriptPlacement.countersOffset
    return try memory.load32(at: Int(clamping: counters) + 4 * Int(vector))
  }
}
