import Glibc

/// A new folder with a short path (a socket's has at most 107 bytes), removed in the end.
final class TemporaryFolder {
  let path: String

  init() {
    var template = Array("/tmp/vfu.XXXXXX".utf8CString)
    path = template.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress, let made = mkdtemp(base) else {
        fatalError("cannot make a folder in /tmp")
      }
      return String(cString: made)
    }
  }

  deinit {
    guard let folder = opendir(path) else { return }
    while let entry = readdir(folder) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { unlink(self / name) }
    }
    closedir(folder)
    rmdir(path)
  }

  /// The path of a file in the folder.
  static func / (folder: TemporaryFolder, name: String) -> String { folder.path + "/" + name }
}

/// Whether there is a file of that path.
func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

/// The text of a file, or nil.
func contents(_ path: String) -> String? {
  guard let file = fopen(path, "r") else { return nil }
  defer { fclose(file) }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 65536)
  while case let count = fread(&buffer, 1, buffer.count, file), count > 0 {
    bytes += buffer[..<count]
  }
  return String(decoding: bytes, as: UTF8.self)
}
