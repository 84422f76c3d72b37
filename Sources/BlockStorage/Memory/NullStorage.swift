public import VFIOUser

/// Blocks that are nowhere: requests are done at once and move no bytes.
///
/// What is written is lost, and a read leaves the memory that it should fill as it is, so what a
/// driver "reads" is what it had there. For measuring everything but the storage.
///
/// Threads: any.
public final class NullStorage: BlockStorage {
  /// The size in bytes.
  public let byteCount: UInt64
  /// `null:` and the size.
  public let name: String
  /// Those of memory; everything is accepted.
  public let traits: BlockStorageTraits

  /// A storage that pretends to hold `byteCount` bytes; at least 1.
  public init(byteCount: UInt64) {
    self.byteCount = byteCount
    name = "null:\(StorageSize.text(byteCount))"
    var traits = BlockStorageTraits()
    traits.canDiscard = true
    self.traits = traits
  }

  /// A channel; it needs nothing of the loop.
  public func makeChannel(on loop: EventLoop) -> any BlockChannel { NullChannel() }
}

/// Says that everything is done.
final class NullChannel: BlockChannel {
  func submit(_ request: BlockRequest) -> BlockOutcome { .done }
  func kick() {}
  func poll() -> Bool { false }
  func close() {}
}
