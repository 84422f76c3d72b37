public import VFIOUser

/// One piece of work for a block storage: made once, used again and again.
///
/// Threads: belongs to its channel's loop from `submit` until it is done.
public final class BlockRequest {
  // Stored where other modules cannot see: a public stored property of a class costs them a check of
  // exclusive access at every use, several times what a call of an accessor does.

  private var storedOperation = BlockOperation.read
  private var storedByteOffset: UInt64 = 0
  private var storedByteCount = 0
  private var storedIsDurable = false
  private var storedTag = 0
  private var storedBufferByteCount = 0

  /// Where the bytes come from or go to.
  public let data: DMAScatterList
  /// Who is told. Not called for a request that `submit` answered at once.
  public unowned let owner: any BlockRequestOwner

  /// What is asked for.
  public var operation: BlockOperation {
    get { storedOperation }
    set { storedOperation = newValue }
  }

  /// Where it starts, in bytes; a multiple of the storage's block size.
  public var byteOffset: UInt64 {
    get { storedByteOffset }
    set { storedByteOffset = newValue }
  }

  /// How many bytes it covers; for reads and writes as many as `data` holds. 0 for a flush.
  public var byteCount: Int {
    get { storedByteCount }
    set { storedByteCount = newValue }
  }

  /// Whether a write, or a write of zeros, is on the medium when it completes (Force Unit Access).
  public var isDurable: Bool {
    get { storedIsDurable }
    set { storedIsDurable = newValue }
  }

  /// For the owner: which of its requests this is.
  public var tag: Int {
    get { storedTag }
    set { storedTag = newValue }
  }

  /// How much memory of its channel's own the request takes while it is pending, in bytes.
  ///
  /// The channel sets it, for owners who bound what they have pending; they set it back to 0.
  public var bufferByteCount: Int {
    get { storedBufferByteCount }
    set { storedBufferByteCount = newValue }
  }

  /// Says all of what is asked for at once: one call, for the path of every command.
  public func set(
    _ operation: BlockOperation, byteOffset: UInt64, byteCount: Int, isDurable: Bool
  ) {
    storedOperation = operation
    storedByteOffset = byteOffset
    storedByteCount = byteCount
    storedIsDurable = isDurable
  }

  /// Makes a request that tells `owner`, which must outlive it.
  public init(data: DMAScatterList, owner: any BlockRequestOwner) {
    self.data = data
    self.owner = owner
  }
}

/// Who hands requests to block storage and is told of their end.
public protocol BlockRequestOwner: AnyObject {
  /// A pending request has ended: nil when all of it succeeded.
  ///
  /// Called on the channel's loop, never from within `submit`.
  func completed(_ request: BlockRequest, _ error: Errno?)
}
