import CVFIOUserLinux

/// The descriptors that came with one message. What nobody takes is closed.
struct ReceivedDescriptors: ~Copyable {
  private var raw: [CInt]
  /// False when the kernel had to drop some, for want of room in the descriptor table.
  var areComplete = true

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

  /// Hands everything over to another owner.
  mutating func moveAll() -> ReceivedDescriptors {
    var moved = ReceivedDescriptors(adopting: raw)
    moved.areComplete = areComplete
    raw = []
    return moved
  }

  private static func close(_ raw: [CInt]) {
    for descriptor in raw where descriptor >= 0 { _ = CVFIOUserLinux.close(descriptor) }
  }
}
