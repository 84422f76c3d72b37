/// What a namespace should hold: a number for each sector of 512 bytes, from which its bytes follow.
///
/// After a reset a sector may hold any of several, until it is read.
struct ModelNamespace {
  enum Readability { case readable, unreadable, unknown }

  let identifier: UInt32
  let byteCount: Int
  /// Whether deallocated blocks read zeros.
  var deallocates = true
  private(set) var blockByteCount: Int
  /// The contents of each sector; 0 for zeros.
  private var contents: [UInt64]
  /// What else a sector may hold.
  private var alternatives: [Int: Set<UInt64>] = [:]
  private var readabilities: [Readability]

  var blockCount: Int { byteCount / blockByteCount }
  var sectorsPerBlock: Int { blockByteCount / 512 }
  var sectorCount: Int { byteCount / 512 }

  init(identifier: UInt32, byteCount: Int, blockByteCount: Int = 512) {
    self.identifier = identifier
    self.byteCount = byteCount
    self.blockByteCount = blockByteCount
    contents = [UInt64](repeating: 0, count: byteCount / 512)
    readabilities = [Readability](repeating: .readable, count: byteCount / 512)
  }

  /// The sectors of blocks.
  func sectors(_ blocks: Range<Int>) -> Range<Int> {
    blocks.lowerBound * sectorsPerBlock..<blocks.upperBound * sectorsPerBlock
  }

  /// What the sectors hold; nil when that is not known.
  func known(_ sectors: Range<Int>) -> [UInt64]? {
    guard alternatives.isEmpty || !sectors.contains(where: { alternatives[$0] != nil }) else {
      return nil
    }
    return Array(contents[sectors])
  }

  // MARK: Changes

  mutating func write(_ sectors: Range<Int>, _ new: [UInt64]) {
    for (index, sector) in sectors.enumerated() {
      contents[sector] = new[index]
      alternatives[sector] = nil
      readabilities[sector] = .readable
    }
  }

  /// The sectors may have been written.
  mutating func mayWrite(_ sectors: Range<Int>, _ new: [UInt64]) {
    for (index, sector) in sectors.enumerated() {
      if contents[sector] != new[index] || alternatives[sector] != nil {
        alternatives[sector, default: []].insert(new[index])
      }
      if readabilities[sector] == .unreadable { readabilities[sector] = .unknown }
    }
  }

  mutating func setReadability(_ sectors: Range<Int>, _ readability: Readability) {
    for sector in sectors { readabilities[sector] = readability }
  }

  mutating func format(_ blockByteCount: Int) {
    self = Self(
      identifier: identifier, byteCount: byteCount, blockByteCount: blockByteCount,
      deallocates: deallocates)
  }

  private init(
    identifier: UInt32, byteCount: Int, blockByteCount: Int, deallocates: Bool
  ) {
    self.init(identifier: identifier, byteCount: byteCount, blockByteCount: blockByteCount)
    self.deallocates = deallocates
  }

  // MARK: Looks

  func readability(_ sectors: Range<Int>) -> Readability {
    var result = Readability.readable
    for sector in sectors {
      switch readabilities[sector] {
      case .readable: break
      case .unreadable: return .unreadable
      case .unknown: result = .unknown
      }
    }
    return result
  }

  /// What is wrong with bytes that were read; what was not known is known afterwards.
  mutating func mismatch(_ bytes: [UInt8], _ sectors: Range<Int>) -> String? {
    for (index, sector) in sectors.enumerated() {
      let place = index * 512
      if Self.isContent(contents[sector], bytes, place) {
        alternatives[sector] = nil
        continue
      }
      if let other = alternatives[sector]?.first(where: { Self.isContent($0, bytes, place) }) {
        contents[sector] = other
        alternatives[sector] = nil
        continue
      }
      let others = alternatives[sector].map { " or any of \($0)" } ?? ""
      return "sector \(sector) should hold \(contents[sector])\(others), but "
        + Self.difference(contents[sector], bytes, place)
    }
    return nil
  }

  /// What is wrong with the bytes of a file that holds the namespace; those of sectors that cannot be
  /// read do not matter.
  mutating func mismatch(inFile bytes: [UInt8]) -> String? {
    for sector in 0..<sectorCount where readabilities[sector] == .readable {
      let part = Array(bytes[(sector * 512)..<(sector * 512 + 512)])
      if let problem = mismatch(part, sector..<(sector + 1)) { return problem }
    }
    return nil
  }

  // MARK: Contents

  /// The bytes of sectors.
  static func bytes(_ contents: [UInt64]) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: contents.count * 512)
    bytes.withUnsafeMutableBytes { buffer in
      for (index, content) in contents.enumerated() where content != 0 {
        for word in 0..<64 {
          buffer.storeBytes(
            of: content ^ UInt64(word) << 56, toByteOffset: index * 512 + word * 8,
            as: UInt64.self)
        }
      }
    }
    return bytes
  }

  private static func isContent(_ content: UInt64, _ bytes: [UInt8], _ place: Int) -> Bool {
    bytes.withUnsafeBytes { buffer in
      for word in 0..<64 {
        let expected = content == 0 ? 0 : content ^ UInt64(word) << 56
        guard buffer.loadUnaligned(fromByteOffset: place + word * 8, as: UInt64.self) == expected
        else { return false }
      }
      return true
    }
  }

  private static func difference(_ content: UInt64, _ bytes: [UInt8], _ place: Int) -> String {
    let expected = Self.bytes([content])
    let first = (0..<512).first { bytes[place + $0] != expected[$0] } ?? 0
    let word = bytes.withUnsafeBytes {
      $0.loadUnaligned(fromByteOffset: place + first / 8 * 8, as: UInt64.self)
    }
    let number = word ^ UInt64(first / 8) << 56
    return "from byte \(first) on it differs, and may be of \(number)"
  }
}
