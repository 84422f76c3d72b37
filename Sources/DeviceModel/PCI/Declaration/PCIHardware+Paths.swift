import VFIOUser

extension BARContent {
  /// Checks the paths that the content wishes to be reached by.
  ///
  /// - Parameter isWithheld: whether clients cannot map the content, though its declaration says so.
  /// - Throws: ``PCIHardwareError`` for the first contradiction found.
  func validate(
    _ paths: [RegionPath], bar: Int, isWithheld: Bool = false
  ) throws(PCIHardwareError) {
    var earlier: [RegionPath] = []
    for path in paths where path.kind != .message {
      func fail(_ reason: String) -> PCIHardwareError {
        PCIHardwareError(
          .badPath, "BAR \(bar): the path at \(path.offset) of \(name) \(reason)")
      }
      let (end, overflow) = path.offset.rawValue.addingReportingOverflow(max(path.byteCount, 1))
      guard !overflow, end <= byteCount else { throw fail("leaves it") }
      if case .sharedMemory = kind, !isWithheld {
        throw fail("is in the way of memory that clients map")
      }
      if case .ioeventfd = path.kind {
        guard [0, 1, 2, 4, 8].contains(path.byteCount) else {
          throw fail("is an ioeventfd of \(path.byteCount) bytes; it must be 0, 1, 2, 4 or 8")
        }
        if case .readOnlyMemory = kind { throw fail("is for writes, and nobody can write there") }
      } else if path.byteCount == 0 {
        throw fail("is empty")
      }
      guard !earlier.contains(where: { path.contradicts($0) }) else {
        throw fail("contradicts another one")
      }
      earlier.append(path)
    }
  }
}

extension RegionPath {
  /// Whether an access could go either way.
  fileprivate func contradicts(_ other: RegionPath) -> Bool {
    switch (kind, other.kind) {
    case (.ioeventfd(let value), .ioeventfd(let otherValue)):
      return offset == other.offset && byteCount == other.byteCount
        && (value == otherValue || value == nil || otherValue == nil)
    // Writes of an ioeventfd go before whatever else there is.
    case (.ioeventfd, _), (_, .ioeventfd): return false
    default:
      return offset.rawValue < other.offset.rawValue + other.byteCount
        && other.offset.rawValue < offset.rawValue + byteCount
    }
  }

  /// The path with its offset from the start of what `base` is an offset in.
  func moved(by base: UInt64) -> RegionPath {
    var copy = self
    // A path that was checked lies in its BAR.
    copy.offset = RegionOffset(base &+ offset.rawValue)
    return copy
  }

  /// How the manual names it.
  var summary: String {
    switch kind {
    case .message: "messages"
    case .postedMessage: "messages; writes are posted"
    case .ioeventfd(matching: nil): "ioeventfd"
    case .ioeventfd(matching: let value?): "ioeventfd for the value \(hexadecimal(value))"
    case .ioregionfd(let postsWrites):
      "ioregionfd \(descriptorGroup)" + (postsWrites ? "; writes are posted" : "")
    }
  }
}
