import NVMe

/// What the error log keeps of a command that failed.
struct ErrorReport: Sendable {
  var submissionQueue: UInt16
  var commandIdentifier: UInt16
  var status: NVMeStatus
  /// The first byte and bit of the command that is wrong: byte in bits 7:0, bit in 10:8; all ones
  /// where the error has no place in the command.
  var parameterLocation: UInt16 = .max
  /// The first block that the error concerns.
  var block: UInt64 = 0
  var namespace: UInt32 = 0
}
