import BlockStorage
import Glibc
import Testing
import VFIOUser

@Suite(.serialized) struct FileOpeningTests {
  @Test("A file has one writer, or readers")
  func lockers() throws {
    let file = try TestFile(byteCount: 4096)
    var reading = FileStorageOptions()
    reading.isReadOnly = true
    do {
      let writer = try FileStorage(path: file.path)
      let error = #expect(throws: StorageError.self) { try FileStorage(path: file.path) }
      #expect(error?.description.contains("stop the other user first") == true)
      #expect(throws: StorageError.self) { try FileStorage(path: file.path, reading) }
      withExtendedLifetime(writer) {}
    }
    let first = try FileStorage(path: file.path, reading)
    let second = try FileStorage(path: file.path, reading)
    #expect(throws: StorageError.self) { try FileStorage(path: file.path) }
    withExtendedLifetime((first, second)) {}
  }

  @Test(
    "A file that cannot be a disk is refused in one line that says what to do",
    arguments: [(0, "give it a size"), (1000, "not a multiple of 512"), (513, "truncate -s %512")])
  func badSize(_ byteCount: Int, _ part: String) throws {
    let file = try TestFile(byteCount: byteCount)
    let error = #expect(throws: StorageError.self) { try FileStorage(path: file.path) }
    #expect(error?.code == .unavailable)
    #expect(error?.description.contains(part) == true, "\(error?.description ?? "")")
  }

  @Test(
    "A path that leads to no file is refused",
    arguments: [
      ("/nonexistent/x", "there is no such file"), ("/tmp", "neither a regular file"),
      ("/dev/null", "neither a regular file"),
    ])
  func badPath(_ path: String, _ part: String) {
    let error = #expect(throws: StorageError.self) {
      try StorageSpecification("file:\(path)").open()
    }
    #expect(error?.description.contains(part) == true, "\(error?.description ?? "")")
  }

  @Test("A specification opens its file, with the options that it names")
  func specification() throws {
    let file = try TestFile(byteCount: 1 << 20)
    let storage = try StorageSpecification("file:\(file.path),readonly=on,engine=threads").open()
    #expect(storage.byteCount == 1 << 20)
    #expect(storage.traits.isReadOnly)
    #expect((storage as? FileStorage)?.engine == .threads)
  }

  @Test(
    "A file on a read-only file system is a read-only storage",
    .enabled(if: getuid() == 0, "only root may mount a file system"))
  func readOnlyFileSystem() throws {
    try SmallFileSystem.with(byteCount: 1 << 20) { folder in
      let descriptor = open("\(folder)/disk", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
      #expect(ftruncate(descriptor, 8192) == 0)
      close(descriptor)
      #expect(mount(nil, folder, nil, UInt(MS_REMOUNT | MS_RDONLY), nil) == 0)
      let storage = try FileStorage(path: "\(folder)/disk")
      #expect(storage.traits.isReadOnly)
    }
  }
}
