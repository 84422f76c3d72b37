import CBlockStorageLinux
import VFIOUser

/// A request on its way through a file's engine: which call comes next, and how far it got.
///
/// Pooled by its channel, and confined to the channel's loop.
@safe
final class FileTask {
  /// The call that is made, or comes next.
  enum Stage {
    /// Bytes between the file and memory.
    case transfer
    /// A hole, which reads as zeros.
    case punch
    /// Zeros that stay allocated.
    case zeroRange
    /// Zeros written one buffer after the other, where the file system has nothing better.
    case writtenZeros
    /// What was changed reaches the medium.
    case sync
  }

  /// Which of the channel's tasks this is.
  let tag: UInt64
  /// The request; nil while the task is unused.
  var request: BlockRequest?
  var stage = Stage.transfer
  /// How many bytes of a transfer, or of written zeros, are done.
  var doneByteCount = 0
  /// How often the kernel asked to try again.
  var attempts = 0
  /// Whether the bytes move through `buffer`.
  var isBounced = false
  /// Whether the request's memory is held in place.
  var isInTransfer = false
  /// The bounce buffer; kept from one request to the next while it is small.
  var buffer: AlignedBuffer?
  /// Vectors of `buffer` and of zeros.
  let vectors: UnsafeMutablePointer<iovec>

  /// How many vectors the task has room for.
  static let vectorCount = 16
  /// The largest buffer that is kept.
  private static let keptByteCount = 256 << 10

  init(tag: UInt64) {
    self.tag = tag
    // Safety: trivial values, all initialised here, released by deinit.
    unsafe vectors = .allocate(capacity: Self.vectorCount)
    unsafe vectors.initialize(repeating: iovec(), count: Self.vectorCount)
  }

  deinit {
    // Safety: the channel keeps its tasks until the engine has nothing in flight.
    unsafe vectors.deallocate()
  }

  /// Makes the task ready for a request.
  func begin(_ request: BlockRequest, _ stage: Stage) {
    self.request = request
    self.stage = stage
    doneByteCount = 0
    attempts = 0
    isBounced = false
    isInTransfer = false
  }

  /// Makes sure of a buffer of `count` bytes, and bounces.
  func bounce(_ count: Int) {
    isBounced = true
    if (buffer?.byteCount ?? 0) < count { buffer = AlignedBuffer(byteCount: count) }
  }

  /// Copies the request's memory into the buffer.
  func fillBuffer() throws(DMAError) {
    guard let request, let buffer, request.byteCount <= buffer.byteCount else { return }
    // Safety: within the buffer, which nobody else uses meanwhile.
    var span = unsafe MutableRawSpan(_unsafeStart: buffer.start, byteCount: request.byteCount)
    try request.data.read(at: 0, into: &span)
  }

  /// Copies the buffer into the request's memory.
  func emptyBuffer() throws(DMAError) {
    guard let request, let buffer, request.byteCount <= buffer.byteCount else { return }
    // Safety: within the buffer, which the call that filled it has let go of.
    let span = unsafe RawSpan(_unsafeStart: buffer.start, byteCount: request.byteCount)
    try request.data.write(at: 0, from: span)
  }

  /// Makes the task ready to be used again.
  func end() {
    if isInTransfer { request?.data.endTransfer() }
    isInTransfer = false
    request = nil
    if isBounced, (buffer?.byteCount ?? 0) > Self.keptByteCount { buffer = nil }
  }
}
