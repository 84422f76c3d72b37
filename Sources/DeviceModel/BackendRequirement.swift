/// What a device can be connected to on the host: the far end of a serial line, disk images, a set
/// of wires.
///
/// The device gets what it was connected to from its function, `function.backend(as:)`:
///
/// | declared as | on the command line | class |
/// |---|---|---|
/// | `BackendRequirement(kind:isRequired:_:)` | `--backend SPEC` | ``CharacterPort`` |
/// | ``storages(atLeast:atMost:_:)`` | `--namespace SPEC`, again for each | `StorageSet` of the BlockStorage library |
public struct BackendRequirement: Hashable, Sendable {
  /// The kind of backend, such as "character" or "lines"; the command line offers the ones that
  /// fit.
  public let kind: String
  /// The fewest that the device works with.
  public let minimumCount: Int
  /// The most that it has a use for.
  public let maximumCount: Int
  /// What the device does with it, in one sentence, for the manual.
  public let summary: String

  /// Whether the device cannot work without one.
  public var isRequired: Bool { minimumCount > 0 }
  /// Whether these are storages, which the command line calls namespaces.
  public var isStorage: Bool { kind == Self.storageKind }

  private static let storageKind = "storage"

  /// Declares what a device can be connected to.
  public init(kind: String, isRequired: Bool = false, _ summary: String) {
    self.kind = kind
    minimumCount = isRequired ? 1 : 0
    maximumCount = 1
    self.summary = summary
  }

  /// Declares that a device uses block storages: disks, images, memory.
  ///
  /// - Parameters:
  ///   - minimumCount: the fewest that it works with.
  ///   - maximumCount: the most that it has a use for; at least 1.
  ///   - summary: what the device does with them, in one sentence.
  public static func storages(
    atLeast minimumCount: Int = 0, atMost maximumCount: Int, _ summary: String
  ) -> Self {
    Self(kind: storageKind, minimumCount: minimumCount, maximumCount: maximumCount, summary)
  }

  private init(kind: String, minimumCount: Int, maximumCount: Int, _ summary: String) {
    self.kind = kind
    self.minimumCount = minimumCount
    self.maximumCount = max(maximumCount, minimumCount, 1)
    self.summary = summary
  }
}
