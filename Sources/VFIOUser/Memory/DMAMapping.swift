import CVFIOUserLinux

/// One range that the client has granted, and how its bytes are reached.
///
/// Threads: immutable but for its ledger, so any thread may hold it.
@safe
final class DMAMapping: @unchecked Sendable {
  /// How the bytes are reached.
  enum Access: Sendable {
    /// Mapped into this process.
    case mapped
    /// The client passed a file that could not be mapped: by reads and writes of the file.
    case file
    /// The client keeps the memory to itself: by messages.
    case messages
  }

  let range: DMARange
  let rights: DMARights
  let access: Access
  /// Valid where `access` is `.mapped`.
  let start: UnsafeMutableRawPointer?
  private let memory: MemoryBox?
  private let file: OwnedDescriptorHolder?
  private let fileOffset: UInt64
  /// The I/O in flight over this grant.
  let leases = LeaseLedger()

  private final class MemoryBox: Sendable {
    let mapping: MemoryMapping
    init(_ mapping: consuming MemoryMapping) { self.mapping = mapping }
  }

  /// A grant without a file: the client serves it by messages.
  init(messages range: DMARange, rights: DMARights) {
    self.range = range
    self.rights = rights
    access = .messages
    unsafe start = nil
    memory = nil
    file = nil
    fileOffset = 0
  }

  /// A grant with a file, mapped where that works.
  ///
  /// - Throws: what fstat(2) or mmap(2) says when the file can be neither mapped nor read.
  init(
    _ range: DMARange, rights: DMARights, file descriptor: consuming OwnedDescriptor,
    offset: UInt64
  ) throws(Errno) {
    self.range = range
    self.rights = rights
    fileOffset = offset
    let (end, overflow) = offset.addingReportingOverflow(range.byteCount)
    guard !overflow, end <= UInt64(Int64.max) else { throw .invalidArgument }
    do {
      let mapping = try MemoryMapping(
        descriptor: descriptor.rawValue, offset: offset, byteCount: range.byteCount,
        readable: rights.contains(.read), writable: rights.contains(.write))
      // Safety: the pointer is used only below, within the mapping that `memory` keeps alive.
      unsafe start = unsafe mapping.start
      memory = MemoryBox(mapping)
      file = nil
      access = .mapped
    } catch Errno.noMemory {
      // Out of mappings (vm.max_map_count): the file itself still serves, while descriptors last.
      unsafe start = nil
      memory = nil
      file = OwnedDescriptorHolder(descriptor)
      access = .file
    }
  }

  /// Whether the client shrank the file under the mapping.
  var isLost: Bool { memory?.mapping.isLost ?? false }

  // MARK: Copies. The caller has checked bounds and rights.

  func copyOut(
    _ offset: UInt64, into bytes: inout MutableRawSpan, _ target: Range<Int>
  ) throws(Errno) {
    // Safety: `target` lies in the span, and the source range was checked against `range`.
    try unsafe bytes.withUnsafeMutableBytes { (buffer) throws(Errno) in
      guard let base = buffer.baseAddress else { return }
      if let start = unsafe start {
        unsafe (base + target.lowerBound).copyMemory(
          from: start + Int(offset), byteCount: target.count)
      } else {
        try unsafe transfer(offset, base + target.lowerBound, target.count, isWrite: false)
      }
    }
    if isLost { throw .ioError }
  }

  func copyIn(_ offset: UInt64, from bytes: RawSpan, _ source: Range<Int>) throws(Errno) {
    // Safety: `source` lies in the span, and the target range was checked against `range`.
    try unsafe bytes.withUnsafeBytes { (buffer) throws(Errno) in
      guard let base = buffer.baseAddress else { return }
      if let start = unsafe start {
        unsafe (start + Int(offset)).copyMemory(
          from: base + source.lowerBound, byteCount: source.count)
      } else {
        // Safety: written from, never to.
        try unsafe transfer(
          offset, UnsafeMutableRawPointer(mutating: base + source.lowerBound), source.count,
          isWrite: true)
      }
    }
    if isLost { throw .ioError }
  }

  private func transfer(
    _ offset: UInt64, _ bytes: UnsafeMutableRawPointer, _ count: Int, isWrite: Bool
  ) throws(Errno) {
    guard let file else { throw .badAddress }
    var done = 0
    while done < count {
      let place = off_t(fileOffset + offset) + off_t(done)
      // Safety: the caller passes `count` valid bytes.
      let moved =
        isWrite
        ? unsafe pwrite(file.descriptor.rawValue, bytes + done, count - done, place)
        : unsafe pread(file.descriptor.rawValue, bytes + done, count - done, place)
      guard moved > 0 else {
        let error = moved < 0 ? Errno.current : .ioError
        if error == .interrupted { continue }
        throw error
      }
      done += moved
    }
  }
}
