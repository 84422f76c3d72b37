// The client's memory: what it grants and takes back.

extension Session {
  func dmaMap(
    _ header: MessageHeader, _ payload: RawSpan, _ descriptors: inout ReceivedDescriptors
  ) throws(Refusal) {
    let request = try decoding { () throws(WireError) in try DMAMapRequest(decoding: payload) }
    guard !request.rights.isEmpty else {
      throw Refusal(.invalidArgument, "DMA_MAP grants neither reading nor writing")
    }
    guard descriptors.count <= 1 else {
      throw Refusal(.invalidArgument, "DMA_MAP takes one descriptor")
    }
    guard let range = DMARange(address: request.address, byteCount: request.byteCount) else {
      throw Refusal(.invalidArgument, "DMA_MAP of an impossible range")
    }
    do throws(Errno) {
      // Before the file is mapped, so that a refused grant costs nothing.
      try host.table.checkInsertion(of: range)
      let mapping: DMAMapping
      if let descriptor = descriptors.take(at: 0) {
        mapping = try DMAMapping(
          range, rights: request.rights, file: descriptor, offset: request.fileOffset)
      } else {
        mapping = DMAMapping(messages: range, rights: request.rights)
      }
      try host.map(mapping)
    } catch {
      if error != .fileExists {
        logger.warning("DMA_MAP of \(range) refused: \(error)")
      }
      throw Refusal(error)
    }
    if header.wantsReply { reply(.reply(to: header)) }
  }

  func dmaUnmap(_ header: MessageHeader, _ payload: RawSpan) throws(Refusal) {
    let request = try decoding { () throws(WireError) in try DMAUnmapRequest(decoding: payload) }
    guard let range = DMARange(address: request.address, byteCount: request.byteCount) else {
      throw Refusal(.invalidArgument, "DMA_UNMAP of an empty range")
    }
    do throws(Errno) {
      try host.unmap(range) { [weak self] in self?.reply(to: header, request) }
    } catch { throw Refusal(error) }
  }
}
