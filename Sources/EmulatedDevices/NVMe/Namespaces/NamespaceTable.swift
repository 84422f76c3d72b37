import BlockStorage

/// The namespaces of a controller, numbered from 1 without gaps; all of them are active.
///
/// Threads: any; it does not change.
final class NamespaceTable: Sendable {
  /// The identifier that means all namespaces.
  static let broadcast: UInt32 = 0xffff_ffff

  let all: [NVMeNamespace]

  /// One namespace for each storage.
  ///
  /// - Parameter blockByteCount: the size of a block in bytes, 512 or 4096.
  init(_ storages: [any BlockStorage], blockByteCount: Int, serial: String) {
    all = storages.enumerated().map { index, storage in
      NVMeNamespace(
        identifier: UInt32(index + 1), storage: storage, blockByteCount: blockByteCount,
        serial: serial)
    }
  }

  /// Whether any storage keeps writes back until it is flushed.
  var haveVolatileCache: Bool { all.contains { $0.storage.traits.hasVolatileCache } }

  /// The namespace with this identifier; nil for 0, for all ones and for one that does not exist.
  subscript(identifier: UInt32) -> NVMeNamespace? {
    let index = Int(identifier) - 1
    return all.indices.contains(index) ? all[index] : nil
  }
}
