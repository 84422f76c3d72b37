import Glibc
import Testing
import VFIOUser

/// A file system in memory with little room; needs the right to mount.
enum SmallFileSystem {
  static func with(byteCount: Int, _ body: (String) throws -> Void) throws {
    let folder = "/tmp/block-storage-test-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    guard mkdir(folder, 0o700) == 0 else { throw Errno(rawValue: errno) }
    defer { rmdir(folder) }
    guard mount("none", folder, "tmpfs", 0, "size=\(byteCount)") == 0 else {
      print("skipped: mounting a file system is not permitted here")
      return
    }
    defer { umount2(folder, 2) }
    try body(folder)
  }
}
