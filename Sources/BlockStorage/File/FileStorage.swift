import CBlockStorageLinux
import Glibc
import Synchronization
public import VFIOUser

/// Blocks in a regular file or on a block device.
///
/// The I/O is asynchronous: by io_uring, or by threads where the kernel refuses that. Bytes go
/// directly between guest memory and the file where `DMAScatterList.isMapped` says so and, with
/// direct I/O, the memory is aligned for it. What was flushed, or written durably, survives the end
/// of this process, and a power loss as far as the file system and the disk promise. An error of the
/// file is the error of that one request.
///
/// The file is locked for as long as the storage is open: it has one writer, or any number of readers.
///
/// Threads: any.
public final class FileStorage: BlockStorage {
  /// `file:` and the path.
  public let name: String
  /// `file:` and the path from the root.
  public let identity: String?
  /// The size in bytes when it was opened; a multiple of 512.
  public let byteCount: UInt64
  /// Read-only where it was asked for, or where the file cannot be written; with a volatile cache.
  public let traits: BlockStorageTraits
  /// What carries the I/O out: io_uring or threads.
  public let engine: FileStorageOptions.Engine

  private let file: FileOpening
  /// What memory has to be aligned to, in bytes.
  private let memoryAlignment: Int
  /// What offsets and lengths have to be aligned to, in bytes.
  private let offsetAlignment: Int

  /// Whether the file system has answered that it cannot do these. Relaxed: only a hint.
  private let cannotPunch = Atomic<Bool>(false)
  private let cannotZero = Atomic<Bool>(false)

  /// Opens a file, which must exist.
  ///
  /// - Throws: ``StorageError`` that says why it cannot be used.
  public init(path: String, _ options: FileStorageOptions = FileStorageOptions())
    throws(StorageError)
  {
    let name = StorageSpecification.file(path: path, options).description
    self.name = name
    let opened = try FileOpening.open(path, options, name)
    identity = "file:\(FileOpening.resolved(path))"
    byteCount = opened.byteCount
    engine = try FileOpening.engine(options.engine, name)

    var memory: UInt32 = 1
    var offset: UInt32 = 1
    // Safety: both are local variables.
    if options.isDirect {
      unsafe cbs_direct_alignment(opened.descriptor.rawValue, &memory, &offset)
    }
    memoryAlignment = max(Int(memory), 1)
    offsetAlignment = max(Int(offset), 1)

    var traits = BlockStorageTraits()
    traits.isReadOnly = opened.isReadOnly
    traits.hasVolatileCache = !opened.isReadOnly
    traits.canDiscard =
      !opened.isReadOnly
      && (opened.isDevice || cbs_can_punch(opened.descriptor.rawValue, opened.byteCount))
    traits.preferredByteCount = max(4096, offsetAlignment)
    self.traits = traits
    file = opened
  }

  /// A channel with a ring, or threads, of its own.
  ///
  /// - Throws: `EMFILE`, `ENFILE`, `ENOMEM` or `EAGAIN` when the system has no ring or thread left.
  public func makeChannel(on loop: EventLoop) throws(Errno) -> any BlockChannel {
    try FileChannel(self, on: loop)
  }

  // MARK: For channels

  /// The descriptor for a call that touches these bytes of the file.
  func descriptor(_ offset: UInt64, _ count: Int) -> CInt {
    let bits = offset | UInt64(count)
    if bits % UInt64(offsetAlignment) == 0 { return file.descriptor.rawValue }
    return file.cachedDescriptor >= 0 ? file.cachedDescriptor : file.descriptor.rawValue
  }

  /// Whether I/O of these bytes may use that memory.
  func accepts(_ data: DMAScatterList, _ offset: UInt64, _ count: Int) -> Bool {
    guard memoryAlignment > 1, descriptor(offset, count) == file.descriptor.rawValue else {
      return true
    }
    let mask = UInt(memoryAlignment) - 1
    // Safety: only the numbers of the vectors are looked at.
    return unsafe data.withVectors { vectors in
      for index in 0..<vectors.count {
        let bits = unsafe UInt(bitPattern: vectors[index].iov_base) | UInt(vectors[index].iov_len)
        if bits & mask != 0 { return false }
      }
      return true
    }
  }

  /// How a range is made to read as zeros.
  func zeroStage(for operation: BlockOperation) -> FileTask.Stage {
    if operation == .discard {
      return cannotPunch.load(ordering: .relaxed) ? .writtenZeros : .punch
    }
    return cannotZero.load(ordering: .relaxed) ? .writtenZeros : .zeroRange
  }

  /// The file system cannot do `stage`.
  func noteUnsupported(_ stage: FileTask.Stage) {
    if stage == .punch { cannotPunch.store(true, ordering: .relaxed) }
    if stage == .zeroRange { cannotZero.store(true, ordering: .relaxed) }
  }
}
