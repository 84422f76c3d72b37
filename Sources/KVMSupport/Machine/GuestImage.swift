import Glibc
import VFIOUser

/// A program for the guest: bytes, and where they go in its memory. They begin with the first
/// instruction, in 32-bit mode without paging.
public struct GuestImage: Hashable, Sendable {
  /// Where programs go unless they say otherwise.
  public static let defaultAddress = GuestAddress(1 << 20)
  /// The longest program, in bytes.
  public static let maximumByteCount = 256 << 20

  /// Where the first byte goes, and where the first CPU starts.
  public let address: GuestAddress
  /// The program.
  public let bytes: [UInt8]

  /// Makes an image of bytes.
  public init(bytes: [UInt8], address: GuestAddress = Self.defaultAddress) {
    self.bytes = bytes
    self.address = address
  }

  /// Reads a flat binary.
  ///
  /// - Throws: `badGuest` when there is no such file, or it is empty or too long.
  public init(path: String, address: GuestAddress = Self.defaultAddress) throws(MachineError) {
    self.init(bytes: try Self.contents(path), address: address)
  }

  /// The bytes of a regular file.
  ///
  /// - Throws: as `init(path:address:)`.
  public static func contents(_ path: String) throws(MachineError) -> [UInt8] {
    // Safety: the path is read during the call.
    let raw = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard raw >= 0 else { throw MachineError(.badGuest, "\(path): \(Errno(rawValue: errno))") }
    let descriptor = OwnedDescriptor(adopting: raw)
    var status = stat()
    // Safety: the kernel fills a local variable about a descriptor of our own.
    guard unsafe fstat(descriptor.rawValue, &status) == 0 else {
      throw MachineError(.badGuest, "\(path): \(Errno(rawValue: errno))")
    }
    guard status.st_mode & mode_t(S_IFMT) == mode_t(S_IFREG) else {
      throw MachineError(.badGuest, "\(path) is no file")
    }
    let byteCount = Int(clamping: status.st_size)
    guard byteCount > 0 else { throw MachineError(.badGuest, "\(path) is empty") }
    guard byteCount <= maximumByteCount else {
      throw MachineError(
        .badGuest, "\(path) has \(byteCount) bytes; \(maximumByteCount >> 20) MiB are the most")
    }
    var bytes = [UInt8](repeating: 0, count: byteCount)
    var position = 0
    while position < byteCount {
      // Safety: the kernel writes at most the rest of the array, from `position` on.
      let count = unsafe bytes.withUnsafeMutableBytes { buffer in
        guard let base = buffer.baseAddress else { return -1 }
        return unsafe pread(
          descriptor.rawValue, base + position, byteCount - position, off_t(position))
      }
      guard count > 0 else { throw MachineError(.badGuest, "\(path) cannot be read") }
      position += count
    }
    return bytes
  }

  /// Checks that it fits into so much memory.
  ///
  /// - Throws: `badGuest`.
  func check(memoryByteCount: UInt64) throws(MachineError) {
    let (end, overflow) = address.rawValue.addingReportingOverflow(UInt64(bytes.count))
    guard !bytes.isEmpty, !overflow, end <= memoryByteCount else {
      throw MachineError(
        .badGuest,
        "a guest of \(bytes.count) bytes at \(address) does not fit into \(memoryByteCount) bytes of memory"
      )
    }
  }
}
