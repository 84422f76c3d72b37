import Glibc

/// Memory that I/O bounces through, aligned for direct I/O. Its contents are arbitrary at first.
@safe
final class AlignedBuffer {
  /// The first byte.
  let start: UnsafeMutableRawPointer
  /// The size in bytes.
  let byteCount: Int

  /// Allocates at least `byteCount` bytes, in whole pages.
  init(byteCount: Int) {
    self.byteCount = (max(byteCount, 1) + 4095) & ~4095
    // Safety: released by deinit.
    unsafe start = .allocate(byteCount: self.byteCount, alignment: 4096)
  }

  deinit {
    // Safety: whoever used the address for I/O keeps the buffer until that ended.
    unsafe start.deallocate()
  }
}
