/// Something more that a region's information says.
///
/// Source: vfio-user specification, "VFIO region capabilities"; `linux/vfio.h`.
public enum RegionCapability: Hashable, Sendable {
  /// Only these parts of the region can be mapped (identity 1, version 1).
  case sparseMap([RegionArea])
  /// A device-specific region's kind (identity 2, version 1).
  case type(RegionType)
  /// A capability that this package does not know; its content is dropped.
  case unknown(identity: UInt16, version: UInt16)

  static let headerByteCount = 8
  static let sparseMapIdentity: UInt16 = 1
  static let typeIdentity: UInt16 = 2

  /// The length of the encoded capability in bytes, a multiple of 8.
  var encodedByteCount: Int {
    switch self {
    case .sparseMap(let areas): Self.headerByteCount + 8 + 16 * areas.count
    case .type: Self.headerByteCount + 8
    case .unknown: Self.headerByteCount
    }
  }

  /// Writes the capability at `position`; `next` is the offset of the following one from the start
  /// of the region information, or zero.
  func encode(
    into bytes: inout MutableRawSpan, at position: Int, next: UInt32
  ) throws(WireError) {
    let (identity, version): (UInt16, UInt16) =
      switch self {
      case .sparseMap: (Self.sparseMapIdentity, 1)
      case .type: (Self.typeIdentity, 1)
      case .unknown(let identity, let version): (identity, version)
      }
    try bytes.store(identity, at: position)
    try bytes.store(version, at: position + 2)
    try bytes.store(next, at: position + 4)
    switch self {
    case .sparseMap(let areas):
      try bytes.store(UInt32(truncatingIfNeeded: areas.count), at: position + 8)
      try bytes.store(UInt32(0), at: position + 12)
      for (index, area) in areas.enumerated() {
        try bytes.store(area.offset.rawValue, at: position + 16 + 16 * index)
        try bytes.store(area.byteCount, at: position + 24 + 16 * index)
      }
    case .type(let type):
      try bytes.store(type.type, at: position + 8)
      try bytes.store(type.subtype, at: position + 12)
    case .unknown:
      break
    }
  }

  /// Decodes the capability at `position` of a region information of a region of
  /// `regionByteCount` bytes.
  ///
  /// Throws when it does not lie inside the information, or names areas outside the region.
  static func decode(
    _ information: RawSpan, at position: Int, regionByteCount: UInt64
  ) throws(WireError) -> RegionCapability {
    let identity: UInt16 = try information.load(at: position)
    let version: UInt16 = try information.load(at: position + 2)
    switch (identity, version) {
    case (sparseMapIdentity, 1):
      let count: UInt32 = try information.load(at: position + 8)
      guard Int(count) <= (information.byteCount - position - 16) / 16 else {
        throw WireError(.badCount, "the sparse areas do not fit into the reply")
      }
      var areas: [RegionArea] = []
      areas.reserveCapacity(Int(count))
      for index in 0..<Int(count) {
        let start: UInt64 = try information.load(at: position + 16 + 16 * index)
        let byteCount: UInt64 = try information.load(at: position + 24 + 16 * index)
        let (end, overflow) = start.addingReportingOverflow(byteCount)
        guard !overflow, end <= regionByteCount else {
          throw WireError(.badRange, "a sparse area leaves its region")
        }
        areas.append(RegionArea(offset: RegionOffset(start), byteCount: byteCount))
      }
      return .sparseMap(areas)
    case (typeIdentity, 1):
      return .type(
        RegionType(
          type: try information.load(at: position + 8),
          subtype: try information.load(at: position + 12)))
    default:
      return .unknown(identity: identity, version: version)
    }
  }
}
