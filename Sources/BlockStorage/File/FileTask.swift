import CBlockStorageLinux
import VFIOUser

/// A request on its way through a file's engine, and which call it makes.
@safe
final class FileTask: StorageTask {
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

  var stage = Stage.transfer
  /// How often the kernel asked to try again.
  var attempts = 0
  /// Vectors of the buffer and of zeros.
  let vectors: UnsafeMutablePointer<iovec>

  /// How many vectors the task has room for.
  static let vectorCount = 16

  override init(tag: Int, _ shelf: BufferShelf) {
    // Safety: trivial values, all initialised here, released by deinit.
    unsafe vectors = .allocate(capacity: Self.vectorCount)
    unsafe vectors.initialize(repeating: iovec(), count: Self.vectorCount)
    super.init(tag: tag, shelf)
  }

  deinit {
    // Safety: the channel keeps its tasks until the engine has nothing in flight.
    unsafe vectors.deallocate()
  }
}
