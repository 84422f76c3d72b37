import CVFIOUserLinux

/// The descriptors that came with one message. What nobody takes is closed.
struct ReceivedDescriptors: ~Copyable {
  private var raw: [CInt]

  init() { raw = [] }

  /// Takes over descriptors that the kernel has just made for this process.
  init(adopting raw: [CInt]) { self.raw = raw }

  deinit { Self.close(raw) }

  /// How many came, taken ones included.
  var count: Int { raw.count }

  var isEmpty: Bool { raw.isEmpty }

  /// The descriptor at `index`, once; nil when there is none or it was taken.
  mutating func take(at index: Int) -> OwnedDescriptor? {
    guard raw.indices.contains(index), raw[index] >= 0 else { return nil }
    let descriptor = OwnedDescriptor(adopting: raw[index])
    raw[index] = -1
    return descriptor
  }

  /// Adds more descriptors of the same message.
  mutating func append(adopting more: [CInt]) { raw += more }

  /// Closes what was not taken and starts afresh.
  mutating func closeAll() {
    guard !raw.isEmpty else { return }
    Self.close(raw)
    raw.removeAll(keepingCapacity: true)
  }

  /// Hands everything over to another owner.
  mutating func moveAll() -> ReceivedDescriptors {
    let moved = ReceivedDescriptors(adopting: raw)
    raw = []
    return moved
  }

  private static func close(_ raw: [CInt]) {
    for descriptor in raw where descriptor >= 0 { _ = CVFIOUserLinux.close(descriptor) }
  }
}
