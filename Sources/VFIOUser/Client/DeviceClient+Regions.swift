// Regions: what there is, and how it can be reached.
extension DeviceClient {
  /// A region of the device. The server is asked once, and its answer remembered.
  ///
  /// - Throws: `rejected` when the device has no such index, else as every call.
  public func region(at index: Int) throws(ClientError) -> ClientRegion {
    var change = 0
    // An answer that the server took back while it was looked at is not kept; a server that takes each
    // of them back gets its last one used.
    for _ in 0..<8 {
      let found = lock.withLock {
        change = regionChangeCount
        return regions[index]
      }
      if let found { return ClientRegion(client: self, info: found.info, areas: found.areas) }
      let learned = try queryAreas(index)
      let kept = lock.withLock { () -> (info: RegionInfo, areas: [MappedArea])? in
        guard regionChangeCount == change else { return nil }
        // Another thread may have asked at the same time: all share the same mappings.
        let kept = regions[index] ?? learned
        regions[index] = kept
        return kept
      }
      if let kept { return ClientRegion(client: self, info: kept.info, areas: kept.areas) }
    }
    let learned = try queryAreas(index)
    return ClientRegion(client: self, info: learned.info, areas: learned.areas)
  }

  /// Asks for a region's information and maps what may be mapped.
  private func queryAreas(
    _ index: Int
  ) throws(ClientError) -> (info: RegionInfo, areas: [MappedArea]) {
    let (info, box) = try queryRegion(try index32(index))
    guard options.mapsRegions, info.flags.contains(.mmap), info.byteCount > 0,
      let box, let descriptor = box.take()
    else { return (info, []) }
    return (info, map(info, HeldDescriptor(descriptor)))
  }

  /// Asks for a region's information, and again with more room if the server needs it.
  func queryRegion(
    _ index: UInt32
  ) throws(ClientError) -> (RegionInfo, HeldDescriptor?) {
    var argumentSize = UInt32(RegionInfo.fixedByteCount)
    for _ in 0..<3 {
      let room = argumentSize
      let (info, box) = try call(
        .deviceGetRegionInfo, RegionInfoRequest(index: index, argumentSize: room)
      ) {
        payload, descriptors throws(WireError) -> (RegionInfo, HeldDescriptor?) in
        guard payload.byteCount <= Int(room) else {
          throw WireError(.oversized, "a reply is longer than was asked for")
        }
        let info = try RegionInfo(decoding: payload)
        guard info.index == index else {
          throw WireError(.badCount, "a reply is for another region")
        }
        guard let descriptor = descriptors.take(at: 0) else { return (info, nil) }
        return (info, HeldDescriptor(descriptor))
      }
      guard info.isIncomplete else { return (info, box) }
      guard info.neededByteCount <= 65536 else { break }
      argumentSize = UInt32(info.neededByteCount)
    }
    throw fail(
      ClientError(.protocolViolation, .badMessage, "a region's information has no end"))
  }

  /// Maps what the server allows; a part that cannot be mapped is reached by messages.
  private func map(_ info: RegionInfo, _ file: HeldDescriptor) -> [MappedArea] {
    var parts = [RegionArea(offset: RegionOffset(0), byteCount: info.byteCount)]
    for case .sparseMap(let sparse) in info.capabilities { parts = sparse }
    return parts.prefix(256).compactMap { area in
      guard area.byteCount > 0 else { return nil }
      return try? MappedArea(
        area, file: file, fileOffset: info.fileOffset,
        isWritable: info.flags.contains(.write))
    }
  }

  /// Asks for the descriptors through which parts of a region can be reached without messages.
  ///
  /// - Returns: entries whose descriptors came along and whose parts lie in the region.
  /// - Throws: `rejected` when the server has no such command or region, else as every call.
  public func ioDescriptors(
    region: ClientRegion
  ) throws(ClientError) -> ClientIODescriptors {
    let index = region.info.index
    var argumentSize: UInt32 = 4096
    for _ in 0..<3 {
      let room = argumentSize
      let (needed, result) = try call(
        .deviceGetRegionIODescriptors,
        RegionIODescriptorsRequest(index: index, argumentSize: room)
      ) {
        payload, descriptors throws(WireError) -> (Int, ClientIODescriptors?) in
        guard payload.byteCount <= Int(room) else {
          throw WireError(.oversized, "a reply is longer than was asked for")
        }
        let reply = try RegionIODescriptors(decoding: payload)
        guard reply.index == index else {
          throw WireError(.badCount, "a reply is for another region")
        }
        if reply.isIncomplete { return (reply.neededByteCount, nil) }
        for entry in reply.entries {
          guard entry.offset.rawValue <= region.byteCount,
            entry.byteCount <= region.byteCount - entry.offset.rawValue
          else { throw WireError(.badRange, "a sub-region leaves its region") }
        }
        guard
          let result = ClientIODescriptors(entries: reply.entries, descriptors: &descriptors)
        else { throw WireError(.misplacedDescriptors, "a descriptor did not come along") }
        return (reply.neededByteCount, result)
      }
      if let result { return result }
      guard needed <= 65536 else { break }
      argumentSize = UInt32(needed)
    }
    throw fail(
      ClientError(.protocolViolation, .badMessage, "a region's descriptors have no end"))
  }
}
