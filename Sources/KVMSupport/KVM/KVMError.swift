import VFIOUser

/// What the kernel refused: which call, why, and what about.
public struct KVMError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The call.
  public let operation: KVMOperation
  /// The kernel's error.
  public let errno: Errno
  /// What was asked for, in words; may be empty.
  public let context: String

  /// Makes an error.
  public init(_ operation: KVMOperation, _ errno: Errno, _ context: String = "") {
    self.operation = operation
    self.errno = errno
    self.context = context
  }

  /// The call, what it was about, the error and what that usually means.
  public var description: String {
    let subject = context.isEmpty ? operation.rawValue : "\(operation.rawValue) (\(context))"
    guard let meaning = operation.meaning(of: errno) else { return "\(subject): \(errno)" }
    return "\(subject): \(errno): \(meaning)"
  }

  /// The result of a function of the shim, or its error.
  @inline(__always)
  static func check(
    _ result: CInt, _ operation: KVMOperation, _ context: @autoclosure () -> String = ""
  ) throws(KVMError) -> CInt {
    guard result >= 0 else { throw KVMError(operation, Errno(rawValue: 0 - result), context()) }
    return result
  }
}
