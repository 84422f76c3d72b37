/// What a controller says of a finished command: 16 bytes in a completion queue.
///
/// Source: NVMe 1.4, section 4.6 and figure 123.
@frozen
public struct CompletionQueueEntry: Hashable, Sendable {
  /// The size in bytes.
  public static let byteCount = 16

  /// Dwords 0 and 1: the command's result, if it has one.
  public var low: UInt64
  /// Dwords 2 and 3: queue, command, phase and status.
  public var high: UInt64

  /// The entry that consists of these two little-endian words.
  @inlinable
  public init(low: UInt64, high: UInt64) {
    self.low = low
    self.high = high
  }

  /// Makes an entry.
  ///
  /// - Parameters:
  ///   - result: Dword 0.
  ///   - submissionQueueHead: SQ Head Pointer (SQHD).
  ///   - submissionQueue: SQ Identifier (SQID).
  ///   - commandIdentifier: Command Identifier (CID).
  ///   - phase: the Phase Tag (P).
  ///   - status: the Status Field (SF).
  @inlinable
  public init(
    result: UInt32, submissionQueueHead: UInt16, submissionQueue: UInt16,
    commandIdentifier: UInt16, phase: Bool, status: NVMeStatus
  ) {
    low = UInt64(result)
    let statusAndPhase = UInt64(status.rawValue) << 1 | (phase ? 1 : 0)
    high =
      UInt64(submissionQueueHead) | UInt64(submissionQueue) << 16
      | UInt64(commandIdentifier) << 32 | statusAndPhase << 48
  }

  /// Dword 0: the command's result.
  @inlinable public var result: UInt32 { UInt32(truncatingIfNeeded: low) }
  /// SQ Head Pointer (SQHD).
  @inlinable public var submissionQueueHead: UInt16 { UInt16(truncatingIfNeeded: high) }
  /// SQ Identifier (SQID).
  @inlinable public var submissionQueue: UInt16 { UInt16(truncatingIfNeeded: high >> 16) }
  /// Command Identifier (CID).
  @inlinable public var commandIdentifier: UInt16 { UInt16(truncatingIfNeeded: high >> 32) }
  /// Phase Tag (P).
  @inlinable public var phase: Bool { high >> 48 & 1 != 0 }
  /// Status Field (SF).
  @inlinable public var status: NVMeStatus {
    NVMeStatus(rawValue: UInt16(truncatingIfNeeded: high >> 49))
  }
}
