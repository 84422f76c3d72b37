public import VFIOUser

/// Something that holds blocks: memory, a file, a remote export.
///
/// A storage is shared; the I/O runs through channels, one for each loop.
///
/// Threads: any.
public protocol BlockStorage: AnyObject, Sendable {
  /// What it is, as a person would write it: `file:/var/disk.img`.
  var name: String { get }
  /// Its size in bytes.
  var byteCount: UInt64 { get }
  /// What it can do.
  var traits: BlockStorageTraits { get }
  /// What tells it apart from all others, the same each time it is opened; nil where nothing lasts.
  var identity: String? { get }
  /// A way to it for one loop.
  ///
  /// Call it on that loop, or before it runs.
  /// - Throws: what the system says when there is no ring, thread or connection left.
  func makeChannel(on loop: EventLoop) throws(Errno) -> any BlockChannel
}

extension BlockStorage {
  /// Nothing that lasts, as with memory.
  public var identity: String? { nil }
}

/// What a block storage can do.
public struct BlockStorageTraits: Sendable, Hashable {
  /// Whether writes are refused.
  public var isReadOnly = false
  /// Whether written data needs a flush to be on the medium.
  public var hasVolatileCache = false
  /// Whether discarded space is given back.
  public var canDiscard = false
  /// Whether each loop can have a channel; if not, a second one is refused with `EBUSY`.
  public var allowsManyChannels = true
  /// The alignment, in bytes, that I/O is best made of; a power of two.
  public var preferredByteCount = 4096
  /// The smallest unit of I/O in bytes; a power of two.
  public var blockByteCount = 1

  /// The traits of plain memory.
  public init() {}
}

/// One loop's way to a storage.
///
/// Threads: confined to its loop.
public protocol BlockChannel: AnyObject {
  /// Starts a request, or carries it out at once.
  ///
  /// The range lies within the storage; `data` is reached directly where `DMAScatterList.isMapped`
  /// says so. What is started may wait for ``kick()``.
  func submit(_ request: BlockRequest) -> BlockOutcome
  /// Hands what was submitted to whoever carries it out; call it at the end of each batch.
  func kick()
  /// Looks for finished requests without sleeping, and tells their owners. Whether there were any.
  ///
  /// Channels also wake their loop, so calling this is never necessary.
  func poll() -> Bool
  /// Ends the channel once nothing is pending.
  func close()
}
