/// Bytes that tell where they belong: no two blocks of 512 are alike.
enum Pattern {
  private static let all: [UInt8] = {
    var state: UInt64 = 0x9e37_79b9_7f4a_7c15
    return (0..<(4 << 20) / 8).flatMap { _ -> [UInt8] in
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return (0..<8).map { UInt8(truncatingIfNeeded: state >> UInt64($0 * 8)) }
    }
  }()

  /// - Parameter seed: another one gives other bytes; at most 2 Mi.
  static func bytes(_ count: Int, seed: Int = 0) -> [UInt8] { Array(all[seed..<(seed + count)]) }
}
