/// The descriptors through which parts of a region can be reached, and what they are for.
///
/// They are closed with this object; ``IORegionChannel``, ``MailboxPort`` and KVM take duplicates.
///
/// Threads: any; nothing of it changes.
public final class ClientIODescriptors: Sendable {
  /// Which part is reached how. Each `descriptorIndex` has been checked.
  public let entries: [RegionIODescriptor]
  private let owned: [OwnedDescriptorHolder]

  /// Takes the descriptors over; nil when an entry names one that is not there.
  init?(entries: [RegionIODescriptor], descriptors: inout ReceivedDescriptors) {
    var owned: [OwnedDescriptorHolder] = []
    for index in 0..<descriptors.count {
      if let descriptor = descriptors.take(at: index) {
        owned.append(OwnedDescriptorHolder(descriptor))
      }
    }
    for entry in entries {
      let count: Int
      switch entry.kind {
      case .postedMessage: count = 0
      case .mailbox: count = 3
      default: count = 1
      }
      guard count == 0 || Int(entry.descriptorIndex) + count <= owned.count else { return nil }
      if entry.kind == .shadowIOEventfd {
        guard Int(entry.shadowDescriptorIndex) < owned.count else { return nil }
      }
    }
    self.entries = entries
    self.owned = owned
  }

  /// How many descriptors came.
  public var descriptorCount: Int { owned.count }

  /// The kernel's number of a descriptor, which this object keeps; nil when there is none. Never
  /// close it.
  public func rawDescriptor(at index: Int) -> CInt? {
    owned.indices.contains(index) ? owned[index].descriptor.rawValue : nil
  }

  /// A second descriptor of the same file, which the caller owns.
  ///
  /// - Throws: `EBADF` when there is none of that index, `EMFILE` or `ENFILE` when no more can be
  ///   had.
  public func duplicate(at index: Int) throws(Errno) -> OwnedDescriptor {
    guard owned.indices.contains(index) else { throw .badFileDescriptor }
    return try owned[index].descriptor.duplicate()
  }
}
