/// What a socket did not take yet, in order.
struct SendBacklog {
  struct Entry {
    let bytes: [UInt8]
    var sent: Int
    /// Duplicates, which live until they are sent.
    let descriptors: [OwnedDescriptorHolder]

    /// The descriptors to send now: they go with the first byte.
    var rawDescriptors: [CInt] { sent == 0 ? descriptors.map { $0.descriptor.rawValue } : [] }
  }

  private var entries: [Entry] = []
  /// How many bytes wait.
  private(set) var byteCount = 0

  @inline(__always)
  var isEmpty: Bool { entries.isEmpty }

  var first: Entry? { entries.first }

  mutating func append(_ bytes: RawSpan, _ descriptors: [CInt]) throws(Errno) {
    var holders: [OwnedDescriptorHolder] = []
    for raw in descriptors {
      let lent = OwnedDescriptor(adopting: raw)
      let copy: OwnedDescriptor
      do { copy = try lent.duplicate() } catch {
        _ = lent.release()
        throw error
      }
      _ = lent.release()
      holders.append(OwnedDescriptorHolder(copy))
    }
    entries.append(Entry(bytes: [UInt8](copying: bytes), sent: 0, descriptors: holders))
    byteCount += bytes.byteCount
  }

  /// Drops everything: nobody is left to read it.
  mutating func removeAll() {
    entries = []
    byteCount = 0
  }

  mutating func advance(by count: Int) {
    guard !entries.isEmpty else { return }
    entries[0].sent += count
    byteCount -= count
    if entries[0].sent == entries[0].bytes.count { entries.removeFirst() }
  }
}
