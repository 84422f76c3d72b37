/// What answers at one place of a PCI bus: a function's configuration space.
///
/// Threads: any; several CPUs may ask at once.
public protocol PCIBusFunction: AnyObject, Sendable {
  /// Reads 1, 2 or 4 bytes that lie in one aligned dword of the first 256 bytes.
  ///
  /// - Returns: the little-endian value, zero-extended. What does not answer gives all ones.
  func readConfiguration(at offset: Int, byteCount: Int) -> UInt32

  /// Writes the low 1, 2 or 4 bytes of `value`, which lie in one aligned dword.
  func writeConfiguration(_ value: UInt32, at offset: Int, byteCount: Int)
}
