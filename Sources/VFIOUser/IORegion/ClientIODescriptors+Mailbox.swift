extension ClientIODescriptors {
  /// The monitor's end of the mailbox that an entry names.
  ///
  /// A mailbox has one end on this side: entries with the same `descriptorIndex` share one port, and it is
  /// made once for each answer of the server's.
  ///
  /// - Parameters:
  ///   - entry: one of `entries`, of the kind `mailbox`.
  ///   - client: the session that the descriptors came over.
  ///   - polling: how a thread waits for a response.
  /// - Throws: `ENOTSUP` where mailboxes were not agreed on; `EINVAL` for another kind of entry and for
  ///   descriptors that make no mailbox; `EMFILE` when no descriptor is left.
  public func makeMailboxPort(
    for entry: RegionIODescriptor, client: DeviceClient, polling: PollingMode = .adaptive
  ) throws(Errno) -> MailboxPort {
    guard client.capabilities.offers(.mailbox) else { throw .notSupported }
    let index = Int(entry.descriptorIndex)
    guard entry.kind == .mailbox, index <= descriptorCount - MailboxStore.descriptorCount else {
      throw .invalidArgument
    }
    return try MailboxPort(
      memory: duplicate(at: index), commandEvent: duplicate(at: index + 1),
      responseEvent: duplicate(at: index + 2), client: client, polling: polling)
  }
}
