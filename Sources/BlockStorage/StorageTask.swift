import VFIOUser

/// A request on its way through a channel: how far it got, and where its bytes are meanwhile.
///
/// Pooled by its channel, and confined to the channel's loop.
class StorageTask {
  /// Which of the channel's tasks this is.
  final let tag: Int
  /// The request; nil while the task is unused.
  final private(set) var request: BlockRequest?
  /// How many bytes of it are done.
  final var doneByteCount = 0
  /// Whether the bytes move through ``buffer``.
  final private(set) var isBounced = false
  /// The bounce buffer, while there is a request that needs one.
  final private(set) var buffer: AlignedBuffer?
  /// Whether the request's memory is held in place.
  private final var isInTransfer = false

  private final let shelf: BufferShelf

  init(tag: Int, _ shelf: BufferShelf) {
    self.tag = tag
    self.shelf = shelf
  }

  /// Makes the task ready for a request.
  final func begin(_ request: BlockRequest) {
    self.request = request
    doneByteCount = 0
    isBounced = false
  }

  /// Holds the request's memory in place: its bytes move there directly.
  final func holdMemory() {
    request?.data.beginTransfer()
    isInTransfer = true
  }

  /// Lets the bytes move through a buffer, and fills that from the memory of a write.
  final func bounce() throws(DMAError) {
    guard let request else { return }
    isBounced = true
    let buffer = shelf.take(request.byteCount)
    self.buffer = buffer
    if request.operation == .write {
      // Safety: within the buffer, which this object keeps and nobody else uses meanwhile.
      let start = unsafe buffer.start + 0
      var span = unsafe MutableRawSpan(_unsafeStart: start, byteCount: request.byteCount)
      try request.data.read(at: 0, into: &span)
    }
    request.bufferByteCount = buffer.byteCount
  }

  /// Copies what was read from the buffer to the request's memory.
  final func deliver() throws(DMAError) {
    guard isBounced, let request, request.operation == .read, let buffer else { return }
    // Safety: within the buffer, which the call that filled it has let go of.
    let start = unsafe buffer.start + 0
    let span = unsafe RawSpan(_unsafeStart: start, byteCount: request.byteCount)
    try request.data.write(at: 0, from: span)
  }

  /// Makes the task ready to be used again; nothing uses its memory any more.
  final func end() {
    if isInTransfer { request?.data.endTransfer() }
    isInTransfer = false
    request = nil
    if let buffer { shelf.give(buffer) }
    buffer = nil
  }
}
