/// The storages that a device was given, in the order of the command line.
///
/// A device that declares `backend: .storages(...)` asks its function for them:
///
/// ```swift
/// let storages = function.backend(as: StorageSet.self)?.storages ?? []
/// ```
///
/// Threads: any; the storages are shared, and each loop makes a channel of its own.
public final class StorageSet: Sendable {
  /// The storages; the first is namespace 1 of a disk controller.
  public let storages: [any BlockStorage]

  /// Makes a set of opened storages.
  public init(_ storages: [any BlockStorage]) { self.storages = storages }
}
