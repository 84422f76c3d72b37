import VFIOUser

/// A region of a device as an address space needs it: reached by messages.
///
/// `ClientRegion` is one; a client that outlives its server has others.
///
/// Threads: any.
public protocol DeviceRegion: AnyObject, Sendable {
  /// What the server said about it.
  var info: RegionInfo { get }

  /// Reads 1 to 8 bytes as a little-endian number.
  func readWord(at offset: RegionOffset, byteCount: Int) throws(ClientError) -> UInt64

  /// Writes 1 to 8 bytes and waits until the device has them.
  func writeWord(_ word: UInt64, at offset: RegionOffset, byteCount: Int) throws(ClientError)

  /// Writes 1 to 8 bytes without waiting.
  func postWord(_ word: UInt64, at offset: RegionOffset, byteCount: Int) throws(ClientError)
}

extension ClientRegion: DeviceRegion {}
