import CNBD
import Synchronization
public import VFIOUser

/// Blocks of an export of an NBD server, reached through libnbd.
///
/// libnbd is loaded when the first such storage is opened. Each channel has a connection of its own
/// where the server says that this is safe; else there is one channel at a time. When the server
/// goes away, what is in flight fails with `EIO`; the next request tries to connect again, and waits
/// for that at most ``reconnectLimit``. Discarded ranges are zeroed in a way that lets the server free
/// their space, since NBD's own trim does not promise that they read as zeros.
///
/// Threads: any.
public final class NBDStorage: BlockStorage {
  /// `nbd:` and the URI.
  public let name: String
  /// The same as the name.
  public var identity: String? { name }
  /// The size in bytes when it was opened; a multiple of 512.
  public let byteCount: UInt64
  /// What the server says of the export.
  public let traits: BlockStorageTraits

  /// How long a request waits for a lost server to come back.
  public static let reconnectLimit = Duration.seconds(5)
  /// How long opening waits for the server.
  static let connectLimit = Duration.seconds(10)
  /// The largest transfer where the server names none: what every server takes.
  private static let usualByteCount: UInt64 = 32 << 20
  /// The most that is zeroed at once.
  private static let zeroByteCount: UInt64 = 1 << 30

  let uri: String
  let facts: cnbd_facts
  /// The most bytes that a read or a write has.
  let transferLimit: Int
  /// The most bytes that are zeroed by one command.
  let zeroLimit: Int

  private struct Connections {
    /// Connected, and used by no channel: the one of `init`, and that of a channel that ended.
    var idle: NBDConnection?
    var channelCount = 0
  }
  private let connections: Mutex<Connections>

  /// Connects to a server.
  ///
  /// - Parameter uri: as libnbd takes it: `nbd://host:port/export`,
  ///   `nbd+unix:///export?socket=/run/nbd.sock`.
  /// - Throws: ``StorageError`` that says why it cannot be used.
  public init(uri: String) throws(StorageError) {
    let name = "nbd:\(uri)"
    let connection = try NBDConnection.connected(to: uri, within: Self.connectLimit, name)
    guard let facts = connection.facts else {
      throw StorageError(.unavailable, "storage \(name): the server says nothing of its export")
    }
    guard facts.byte_count > 0, facts.byte_count % StorageSpecification.sizeUnit == 0 else {
      throw StorageError(
        .unavailable,
        "storage \(name) has \(facts.byte_count) bytes; it needs a multiple of"
          + " \(StorageSpecification.sizeUnit), and not 0")
    }
    self.name = name
    self.uri = uri
    self.facts = facts
    byteCount = facts.byte_count
    let unit = max(facts.minimum_byte_count, 1)
    let largest = facts.maximum_byte_count == 0 ? Self.usualByteCount : facts.maximum_byte_count
    transferLimit = Int(max(min(largest, Self.usualByteCount) / unit * unit, unit))
    zeroLimit = Int(max(Self.zeroByteCount / unit * unit, unit))
    var traits = BlockStorageTraits()
    traits.isReadOnly = facts.is_read_only
    traits.hasVolatileCache = facts.can_flush && !facts.is_read_only
    traits.canDiscard = facts.can_zero && !facts.is_read_only
    traits.allowsManyChannels = facts.can_share
    traits.blockByteCount = Int(unit)
    traits.preferredByteCount = Int(
      clamping: facts.preferred_byte_count == 0 ? 4096 : facts.preferred_byte_count)
    self.traits = traits
    connections = Mutex(Connections(idle: connection))
  }

  /// A channel with a connection of its own.
  ///
  /// - Throws: `EBUSY` when there is a channel already and the server does not let several
  ///   connections share the export (``BlockStorageTraits/allowsManyChannels``), `EMFILE` when no
  ///   descriptor is left.
  public func makeChannel(on loop: EventLoop) throws(Errno) -> any BlockChannel {
    let connection = try connections.withLock { connections throws(Errno) in
      guard connections.channelCount == 0 || facts.can_share else { throw .resourceBusy }
      connections.channelCount += 1
      let idle = connections.idle
      connections.idle = nil
      return idle
    }
    // Without one the channel connects with its first request.
    return NBDChannel(self, connection, on: loop)
  }

  /// A channel has ended.
  func giveBack(_ connection: NBDConnection?) {
    connections.withLock { connections in
      connections.channelCount -= 1
      if connections.idle == nil { connections.idle = connection }
    }
  }

  /// Whether a new connection leads to the same export.
  func accepts(_ connection: NBDConnection) -> Bool {
    guard let other = connection.facts else { return false }
    return other.byte_count == facts.byte_count && other.is_read_only == facts.is_read_only
      && other.minimum_byte_count == facts.minimum_byte_count
  }
}
