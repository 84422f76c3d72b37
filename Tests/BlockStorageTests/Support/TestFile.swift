import Glibc
import VFIOUser

/// A file that goes away with its owner.
final class TestFile {
  /// Where the file lies: on a disk, or in memory.
  enum Place: String, CaseIterable, Sendable {
    case disk = "/var/tmp"
    case memory = "/dev/shm"
  }

  let path: String

  init(byteCount: Int, in place: Place = .disk) throws {
    path = "\(place.rawValue)/block-storage-test-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw Errno(rawValue: errno) }
    defer { close(descriptor) }
    guard ftruncate(descriptor, byteCount) == 0 else { throw Errno(rawValue: errno) }
  }

  deinit { unlink(path) }

  /// How much space the file takes, in bytes.
  var allocatedByteCount: Int {
    var facts = stat()
    return stat(path, &facts) == 0 ? Int(facts.st_blocks) * 512 : -1
  }

  /// Bytes of the file, read behind the storage's back.
  func contents(_ count: Int, at offset: Int) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: count)
    let got = pread(descriptor, &bytes, count, offset)
    return Array(bytes.prefix(max(0, got)))
  }

  /// Makes the file shorter.
  func truncate(to byteCount: Int) { _ = Glibc.truncate(path, byteCount) }
}
