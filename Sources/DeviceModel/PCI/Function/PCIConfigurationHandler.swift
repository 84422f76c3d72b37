import VFIOUser

/// The region that holds a function's configuration space.
final class PCIConfigurationHandler: RegionHandler {
  unowned let function: PCIFunction

  init(_ function: PCIFunction) { self.function = function }

  func read(
    at offset: RegionOffset, into bytes: inout MutableRawSpan, _ access: AccessContext
  ) throws(Errno) {
    guard let start = Int(exactly: offset.rawValue) else { return }
    function.refreshConfiguration()
    for index in 0..<bytes.byteCount {
      bytes.storeBytes(
        of: function.configuration.byte(at: start + index), toByteOffset: index, as: UInt8.self)
    }
  }

  func write(
    at offset: RegionOffset, from bytes: RawSpan, _ access: AccessContext
  ) throws(Errno) {
    guard let start = Int(exactly: offset.rawValue) else { return }
    let written = (0..<bytes.byteCount).map { bytes.byte(at: $0) }
    function.writeConfiguration(written, at: start, access)
  }
}
