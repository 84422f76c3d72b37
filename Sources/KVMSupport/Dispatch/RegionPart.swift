import Glibc
import VFIOUser

/// A part of a region, and how it is reached.
public struct RegionPart: Sendable {
  /// Where it begins in the region.
  public var offset: RegionOffset
  /// Its length in bytes, at least 1.
  public var byteCount: UInt64
  /// How it is reached.
  public var path: RegionPartPath

  /// The port of an ioregionfd or mailbox, and what its commands carry.
  var port: (any IORegionPort)?
  var userData: UInt64 = 0
  /// The memory of a mapped part, and where the part begins in it.
  var memory: SharedMemory?
  var memoryOffset: UInt64 = 0

  init(
    offset: UInt64, byteCount: UInt64, path: RegionPartPath, port: (any IORegionPort)? = nil,
    userData: UInt64 = 0, memory: SharedMemory? = nil
  ) {
    self.offset = RegionOffset(offset)
    self.byteCount = byteCount
    self.path = path
    self.port = port
    self.userData = userData
    self.memory = memory
  }

  /// The first byte behind it.
  var end: UInt64 { offset.rawValue + byteCount }

  /// The bytes of `range` that it has, reached in the same way; nil when it has none.
  func clamped(to range: Range<UInt64>) -> RegionPart? {
    let start = max(offset.rawValue, range.lowerBound)
    let end = min(self.end, range.upperBound)
    guard start < end else { return nil }
    var part = self
    part.memoryOffset += start - offset.rawValue
    part.offset = RegionOffset(start)
    part.byteCount = end - start
    return part
  }

  /// The whole pages of a part, and what lies before and behind them.
  var splitAtPages: [RegionPart] {
    let page = UInt64(pageSize)
    let first = (offset.rawValue + page - 1) / page * page
    let last = end / page * page
    guard first < last else { return [self] }
    return [0..<first, first..<last, last..<UInt64.max].compactMap(clamped(to:))
  }

  private var pageSize: Int { sysconf(CInt(_SC_PAGESIZE)) }
}
