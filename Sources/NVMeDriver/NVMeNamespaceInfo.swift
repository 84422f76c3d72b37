public import NVMe

/// A namespace as its controller describes it.
public struct NVMeNamespaceInfo: Sendable, Hashable {
  /// Namespace identifier (NSID).
  public let identifier: UInt32
  /// What the controller says of it.
  public let data: IdentifyNamespace

  /// A block's size in bytes.
  public var blockByteCount: Int { data.blockByteCount }
  /// How many blocks there are.
  public var blockCount: UInt64 { data.blockCount }

  /// A command for this namespace, with nothing else set.
  public func command(_ opcode: IOOpcode) -> SubmissionQueueEntry {
    var entry = SubmissionQueueEntry()
    entry.opcode = opcode.rawValue
    entry.namespaceIdentifier = identifier
    return entry
  }
}
