import DeviceProgram
import Glibc
import VFIOUser

/// A disk for the demonstration: an empty file of a given length, in a folder of its own.
///
/// Threads: one owner.
final class DemoFile {
  /// Where it is until ``remove()``.
  let path: String
  private let folder: String
  private let descriptor: CInt
  private var isThere = true

  /// Makes a sparse file in the folder that `TMPDIR` names, or in `/tmp`.
  ///
  /// - Throws: ``ProgramError`` when it cannot be made.
  init(byteCount: Int) throws(ProgramError) {
    // Safety: the program changes its environment nowhere; the text is copied at once.
    let place = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp"
    var template = Array("\(place)/vfio-user-demo.XXXXXX".utf8CString)
    // Safety: the call writes over the last six letters of an array of our own, and nothing else.
    let made = unsafe template.withUnsafeMutableBufferPointer { buffer in
      unsafe buffer.baseAddress.flatMap { unsafe mkdtemp($0) }.map { unsafe String(cString: $0) }
    }
    guard let made else {
      throw ProgramError(.runtime, "demo: no folder in \(place): \(Errno(rawValue: errno))")
    }
    folder = made
    path = "\(made)/disk"
    // Safety: the path is read during the call.
    descriptor = unsafe open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0, ftruncate(descriptor, byteCount) == 0 else {
      let reason = Errno(rawValue: errno)
      throw ProgramError(.runtime, "demo: no file in \(made): \(reason)")
    }
  }

  deinit {
    remove()
    close(descriptor)
  }

  /// Takes the file's name away: it goes when the last process has closed it.
  func remove() {
    guard isThere else { return }
    isThere = false
    // Safety: the paths are read during the calls.
    unsafe unlink(path)
    unsafe rmdir(folder)
  }

  /// How many bytes the file takes on its file system.
  var allocatedByteCount: Int {
    var information = stat()
    // Safety: the kernel writes about our own descriptor into a local variable.
    guard unsafe fstat(descriptor, &information) == 0 else { return 0 }
    return Int(information.st_blocks) * 512
  }
}
