/// How a part of a region is reached.
public enum RegionPartPath: Hashable, Sendable {
  /// A message for each access, and a wait for each reply.
  case message
  /// A message for each access, and a wait for the replies to reads.
  case postedMessage
  /// Loads and stores of shared memory.
  case mapped
  /// Commands on a socket; `postsWrites` says that writes are not waited for.
  case ioregionfd(postsWrites: Bool)
  /// Commands in shared memory.
  case mailbox(postsWrites: Bool)
  /// The monitor itself answers, and the device does not see it.
  case monitor
}

extension RegionPartPath: CustomStringConvertible {
  /// A word or two, for people.
  public var description: String {
    switch self {
    case .message: "message"
    case .postedMessage: "posted message"
    case .mapped: "mapped"
    case .ioregionfd(let postsWrites): postsWrites ? "ioregionfd, posted writes" : "ioregionfd"
    case .mailbox(let postsWrites): postsWrites ? "mailbox, posted writes" : "mailbox"
    case .monitor: "monitor"
    }
  }
}
