/// How a file is used as a storage.
public struct FileStorageOptions: Sendable, Hashable {
  /// Who carries the I/O out.
  public enum Engine: String, Sendable, Hashable, CaseIterable {
    /// io_uring where the kernel allows it, threads where not.
    case automatic = "auto"
    /// io_uring, or no storage.
    case ring = "io_uring"
    /// Threads that make blocking calls.
    case threads
  }

  /// Whether I/O goes past the page cache (O_DIRECT).
  public var isDirect = false
  /// Whether writes are refused, and the file is opened for reading alone.
  public var isReadOnly = false
  /// Who carries the I/O out.
  public var engine = Engine.automatic

  /// Through the page cache, for reading and writing.
  public init() {}
}
