/// The bounce buffers that a channel's requests have left behind, for those to come.
///
/// Confined to the channel's loop.
final class BufferShelf {
  private var buffers: [AlignedBuffer] = []

  /// How many buffers are kept, and how large one may be for that.
  private static let keptCount = 64
  private static let keptByteCount = 256 << 10

  /// A buffer of at least `byteCount` bytes.
  func take(_ byteCount: Int) -> AlignedBuffer {
    guard let index = buffers.lastIndex(where: { $0.byteCount >= byteCount }) else {
      return AlignedBuffer(byteCount: byteCount)
    }
    return buffers.remove(at: index)
  }

  /// Takes a buffer back that nothing uses any more.
  func give(_ buffer: AlignedBuffer) {
    guard buffer.byteCount <= Self.keptByteCount else { return }
    // Small ones would stay for ever where all requests are larger.
    if buffers.count == Self.keptCount { buffers.removeFirst() }
    buffers.append(buffer)
  }
}
