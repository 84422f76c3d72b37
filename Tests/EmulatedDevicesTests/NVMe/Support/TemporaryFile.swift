import Foundation

/// A file of zeros that goes with this object.
final class TemporaryFile: Sendable {
  let path = "/tmp/nvme-file-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"

  init(byteCount: Int) throws {
    try Data(count: byteCount).write(to: URL(fileURLWithPath: path))
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func contents() throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))) }
}
