import VFIOUser

/// Plain memory within a region: what is written is read back.
///
/// Confined to the loop that serves the region.
public final class DeviceMemory: RegionHandler {
  /// The content. Its count never changes.
  public private(set) var bytes: [UInt8]
  private let initial: [UInt8]
  private let isWritable: Bool

  /// Memory of `byteCount` zero bytes that clients read and write.
  public init(byteCount: Int) {
    bytes = [UInt8](repeating: 0, count: max(0, byteCount))
    initial = bytes
    isWritable = true
  }

  /// Memory that clients can only read; their writes are ignored.
  public init(readOnly content: [UInt8]) {
    bytes = content
    initial = content
    isWritable = false
  }

  /// Replaces the bytes from `offset` on; what would lie past the end is dropped.
  public func replace(at offset: Int, with content: some Collection<UInt8>) {
    guard bytes.indices.contains(offset) else { return }
    let fitting = content.prefix(bytes.count - offset)
    bytes.replaceSubrange(offset..<(offset + fitting.count), with: fitting)
  }

  /// Puts the content after power-on back.
  public func reset() { bytes = initial }

  /// Reads bytes; those past the end are left as they are: zero, in a reply. Throws nothing. See
  /// ``RegionHandler``.
  public func read(
    at offset: RegionOffset, into bytes: inout MutableRawSpan, _ access: AccessContext
  ) throws(Errno) {
    guard let start = Int(exactly: offset.rawValue), start < self.bytes.count else { return }
    let end = start + min(bytes.byteCount, self.bytes.count - start)
    // It fits: both ends were clamped.
    let content = self.bytes
    try? bytes.store(bytes: content.rawSpan.extracting(start..<end), at: 0)
  }

  /// Writes bytes; those past the end, and all of them in a ROM, are ignored. Throws nothing. See
  /// ``RegionHandler``.
  public func write(
    at offset: RegionOffset, from bytes: RawSpan, _ access: AccessContext
  ) throws(Errno) {
    guard isWritable else { return }
    guard let start = Int(exactly: offset.rawValue), start < self.bytes.count else { return }
    for index in 0..<min(bytes.byteCount, self.bytes.count - start) {
      self.bytes[start + index] = bytes.byte(at: index)
    }
  }
}
