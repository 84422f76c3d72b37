import Glibc

extension Errno {
  /// The calling thread's current error.
  static var current: Errno { Errno(rawValue: errno) }

  /// Whether it says that the peer of a socket has closed its end.
  var isHangup: Bool { self == .brokenPipe || self == .connectionReset }

  /// The result of a system call that answers -1 on failure, or its error.
  @inline(__always)
  static func check(_ result: CInt) throws(Errno) -> CInt {
    guard result >= 0 else { throw current }
    return result
  }

  /// The result of a shim function that answers a negative errno on failure.
  @inline(__always)
  static func checkShim<Result: SignedInteger & FixedWidthInteger>(
    _ result: Result
  ) throws(Errno) -> Result {
    guard result >= 0 else { throw Errno(rawValue: CInt(truncatingIfNeeded: 0 - result)) }
    return result
  }
}
