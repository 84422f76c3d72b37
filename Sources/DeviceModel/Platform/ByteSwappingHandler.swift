import VFIOUser

/// A big-endian bus in front of a handler, whose values are little-endian.
///
/// An access of 2, 4 or 8 bytes is one bus cycle and arrives with its bytes reversed; anything else
/// is a row of single bytes and arrives as it is. Replies cannot be deferred through it.
final class ByteSwappingHandler: RegionHandler {
  private let handler: any RegionHandler

  init(_ handler: any RegionHandler) { self.handler = handler }

  func read(
    at offset: RegionOffset, into bytes: inout MutableRawSpan, _ access: AccessContext
  ) throws(Errno) {
    let count = bytes.byteCount
    guard Self.isCycle(count) else { return try handler.read(at: offset, into: &bytes, access) }
    let value = try handler.loadBytes(at: offset, byteCount: count)
    for (position, byte) in value.reversed().enumerated() {
      bytes.storeBytes(of: byte, toByteOffset: position, as: UInt8.self)
    }
  }

  func write(
    at offset: RegionOffset, from bytes: RawSpan, _ access: AccessContext
  ) throws(Errno) {
    let count = bytes.byteCount
    guard Self.isCycle(count) else { return try handler.write(at: offset, from: bytes, access) }
    try handler.storeBytes((0..<count).reversed().map { bytes.byte(at: $0) }, at: offset)
  }

  private static func isCycle(_ byteCount: Int) -> Bool {
    byteCount == 2 || byteCount == 4 || byteCount == 8
  }
}
