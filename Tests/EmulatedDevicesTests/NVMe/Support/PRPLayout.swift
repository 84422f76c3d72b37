import NVMe

/// Data scattered over pages of guest memory, and the PRPs that name it.
struct PRPLayout {
  /// The pages lie apart, the last one first.
  private(set) var pieces: [Range<Int>] = []
  private(set) var prp1: UInt64 = 0
  private(set) var prp2: UInt64 = 0
  /// Where each entry of the list lies, those that lead to the next page left out.
  private(set) var entries: [Int] = []
  /// Where each entry lies that leads to the next page of the list.
  private(set) var links: [Int] = []

  /// Writes the list to guest memory where there is one.
  ///
  /// - Parameters:
  ///   - arena: where the data goes; see ``arenaByteCount(_:_:)``.
  ///   - firstOffset: of the data in its first page.
  ///   - listOffset: of the list in its first page.
  init(
    _ rig: NVMeRig, arena: Int, byteCount: Int, firstOffset: Int = 0, listOffset: Int = 0,
    pageByteCount: Int = 4096
  ) throws {
    let pageCount = (firstOffset + byteCount + pageByteCount - 1) / pageByteCount
    var left = byteCount
    for index in 0..<pageCount {
      let page = arena + (pageCount - 1 - index) * 2 * pageByteCount
      let start = index == 0 ? page + firstOffset : page
      let count = min(left, page + pageByteCount - start)
      pieces.append(start..<(start + count))
      left -= count
    }
    prp1 = rig.address(pieces[0].lowerBound)
    let others = pieces.dropFirst().map { rig.address($0.lowerBound) }
    switch others.count {
    // Nobody looks at it.
    case 0: prp2 = 0xdead_beef_dead_beef
    case 1: prp2 = others[0]
    default: try makeList(rig, others, listOffset, pageByteCount)
    }
  }

  private mutating func makeList(
    _ rig: NVMeRig, _ pages: [UInt64], _ listOffset: Int, _ pageByteCount: Int
  ) throws {
    var place = rig.allocate(pageByteCount, pageByteCount: pageByteCount) + listOffset
    prp2 = rig.address(place)
    for (index, page) in pages.enumerated() {
      let isLastSlot = (place + 8) % pageByteCount == 0
      if isLastSlot, index < pages.count - 1 {
        let next = rig.allocate(pageByteCount, pageByteCount: pageByteCount)
        try rig.memory.store64(rig.address(next), at: place)
        links.append(place)
        place = next
      }
      try rig.memory.store64(page, at: place)
      entries.append(place)
      place += 8
    }
  }

  /// How much room a layout takes.
  static func arenaByteCount(_ byteCount: Int, _ pageByteCount: Int = 4096) -> Int {
    (byteCount / pageByteCount + 2) * 2 * pageByteCount
  }

  /// Puts `bytes` where the PRPs say.
  func scatter(_ bytes: [UInt8], _ rig: NVMeRig) throws {
    var done = 0
    for piece in pieces {
      try rig.write(Array(bytes[done..<(done + piece.count)]), piece.lowerBound)
      done += piece.count
    }
  }

  /// What lies where the PRPs say.
  func gather(_ rig: NVMeRig) throws -> [UInt8] {
    try pieces.flatMap { try rig.bytes($0.lowerBound, $0.count) }
  }

  /// Puts `bytes` into a copy of guest memory that starts at `origin`.
  func scatter(_ bytes: [UInt8], into image: inout [UInt8], from origin: Int) {
    var done = 0
    for piece in pieces {
      image.replaceSubrange(
        (piece.lowerBound - origin)..<(piece.upperBound - origin),
        with: bytes[done..<(done + piece.count)])
      done += piece.count
    }
  }
}
