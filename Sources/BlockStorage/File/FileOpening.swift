import CBlockStorageLinux
import Glibc
import VFIOUser

/// A file that was opened, checked and locked.
struct FileOpening: ~Copyable, Sendable {
  /// The open file; with direct I/O it goes past the page cache.
  let descriptor: OwnedDescriptor
  /// The same file through the page cache, for what direct I/O cannot do; nil without direct I/O.
  private let cached: OwnedDescriptor?
  /// Its number, or -1.
  let cachedDescriptor: CInt
  /// The file's size; a multiple of 512.
  let byteCount: UInt64
  let isReadOnly: Bool
  let isDevice: Bool

  private struct Handle: ~Copyable {
    let descriptor: OwnedDescriptor
    let isReadOnly: Bool
  }

  /// Opens the file at `path`, for the storage called `name`.
  static func open(
    _ path: String, _ options: FileStorageOptions, _ name: String
  ) throws(StorageError) -> FileOpening {
    let isDevice = try check(path, name)
    let handle = try openFile(path, options, name)
    let isReadOnly = handle.isReadOnly
    try lock(handle.descriptor.rawValue, isReadOnly: isReadOnly, name)
    var cached: OwnedDescriptor?
    var raw: CInt = -1
    if options.isDirect {
      let flags = (isReadOnly ? O_RDONLY : O_RDWR) | O_CLOEXEC
      // Safety: the string is the call's own copy.
      raw = unsafe Glibc.open(path, flags)
      guard raw >= 0 else { throw refusal(Errno(rawValue: errno), name) }
      cached = OwnedDescriptor(adopting: raw)
    }
    let end = lseek(handle.descriptor.rawValue, 0, SEEK_END)
    guard end > 0 else {
      throw StorageError(
        .unavailable,
        "storage \(name) is empty; give it a size first, such as: truncate -s 1G FILE")
    }
    guard UInt64(end) % StorageSpecification.sizeUnit == 0 else {
      throw StorageError(
        .unavailable,
        "storage \(name) has \(end) bytes, which is not a multiple of"
          + " \(StorageSpecification.sizeUnit); make it longer, such as: truncate -s %512 FILE")
    }
    return FileOpening(
      descriptor: handle.descriptor, cached: cached, cachedDescriptor: raw, byteCount: UInt64(end),
      isReadOnly: isReadOnly, isDevice: isDevice)
  }

  /// The path from the root. Its last part stays as it is: a link may name a device for good.
  static func resolved(_ path: String) -> String {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    let directory = parts.dropLast().joined(separator: "/") + (parts.count > 1 ? "/" : ".")
    // Safety: the string is the call's own copy; the result is ours to free, and freed once.
    guard let place = unsafe realpath(directory, nil) else { return path }
    defer { unsafe free(place) }
    return unsafe String(cString: place) + "/" + (parts.last ?? "")
  }

  /// The engine to use: the ring where the kernel has one, unless it is chosen.
  static func engine(
    _ wanted: FileStorageOptions.Engine, _ name: String
  ) throws(StorageError) -> FileStorageOptions.Engine {
    guard wanted != .threads else { return .threads }
    var engine: OpaquePointer?
    // Safety: a local variable that takes the engine, which is ended at once.
    let result = unsafe cbs_ring_engine(2, &engine)
    if let engine = unsafe engine { unsafe cbs_free(engine) }
    if result == 0 { return .ring }
    guard wanted == .automatic else {
      throw StorageError(
        .unavailable, "storage \(name): the kernel refuses io_uring; leave engine out",
        Errno(rawValue: -result))
    }
    return .threads
  }

  // MARK: Steps

  /// Whether the file is a block device; before it is opened, since opening others can block.
  private static func check(_ path: String, _ name: String) throws(StorageError) -> Bool {
    var facts = stat()
    // Safety: the kernel fills a local variable.
    guard unsafe stat(path, &facts) == 0 else { throw refusal(Errno(rawValue: errno), name) }
    switch facts.st_mode & S_IFMT {
    case S_IFREG: return false
    case S_IFBLK: return true
    default:
      throw StorageError(
        .unavailable, "storage \(name) is neither a regular file nor a block device")
    }
  }

  private static func openFile(
    _ path: String, _ options: FileStorageOptions, _ name: String
  ) throws(StorageError) -> Handle {
    let direct = options.isDirect ? cbs_o_direct : 0
    // Safety: for both calls: the string is the call's own copy.
    var raw: CInt = -1
    if !options.isReadOnly {
      raw = unsafe Glibc.open(path, O_RDWR | O_CLOEXEC | direct)
      if raw >= 0 { return Handle(descriptor: OwnedDescriptor(adopting: raw), isReadOnly: false) }
      let error = Errno(rawValue: errno)
      // A file that cannot be written can still be read.
      guard [.permissionDenied, .readOnlyFileSystem, .notPermitted].contains(error) else {
        throw refusal(error, name, isDirect: options.isDirect)
      }
    }
    raw = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC | direct)
    guard raw >= 0 else {
      throw refusal(Errno(rawValue: errno), name, isDirect: options.isDirect)
    }
    return Handle(descriptor: OwnedDescriptor(adopting: raw), isReadOnly: true)
  }

  private static func lock(
    _ descriptor: CInt, isReadOnly: Bool, _ name: String
  ) throws(StorageError) {
    // The kernel ends the I/O of a process that was killed, and lets go of its lock, a little after the
    // process is gone.
    let deadline = MonotonicTime.now.advanced(by: .seconds(2))
    while true {
      // A file system without locks has to do without.
      guard cbs_lock(descriptor, !isReadOnly) == -EAGAIN else { return }
      guard MonotonicTime.now < deadline else { break }
      usleep(10_000)
    }
    throw StorageError(
      .unavailable,
      isReadOnly
        ? "storage \(name) is in use by somebody who writes it; stop that one first"
        : "storage \(name) is in use; stop the other user first, or let both read only (readonly=on)",
      .resourceTemporarilyUnavailable)
  }

  private static func refusal(
    _ error: Errno, _ name: String, isDirect: Bool = false
  ) -> StorageError {
    let reason =
      switch error {
      case .noSuchFileOrDirectory:
        "there is no such file; make it first, such as: truncate -s 1G FILE"
      case .permissionDenied, .notPermitted: "not permitted; use a file that this user may read"
      case .invalidArgument where isDirect:
        "this file system has no direct I/O; leave direct=on out"
      default: "\(error)"
      }
    return StorageError(.unavailable, "storage \(name): \(reason)", error)
  }
}
