/// What answers at one place of a PCI bus: a function's configuration space.
///
/// Threads: any; several CPUs may ask at once.
public protocol PCIBusFunction: AnyObject, Sendable {
  /// Reads 1, 2 or 4 bytes that lie in one aligned dword of the first 256 bytes.
  ///
  /// - Returns: the little-endian value, zero-extended. What does not answer gives all ones; what is away
  ///   and may come back gives nil after a moment, and is to be asked again.
  func readConfiguration(at offset: Int, byteCount: Int) -> UInt32?

  /// Writes the low 1, 2 or 4 bytes of `value`, which lie in one aligned dword.
  ///
  /// - Returns: whether that was it; false after a moment when the function is away and may come back,
  ///   and the write is to be made again.
  @discardableResult
  func writeConfiguration(_ value: UInt32, at offset: Int, byteCount: Int) -> Bool
}
