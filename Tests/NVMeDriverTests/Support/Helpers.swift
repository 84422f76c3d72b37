import NVMe
import NVMeDriver
import Testing
import VFIOUser

/// The code of the driver's error that `body` throws, without the More bit; nil when it throws none.
func code(_ body: () throws -> Void) throws -> NVMeDriverError.Code? {
  do { try body() } catch let error as NVMeDriverError {
    guard case .status(let status) = error.code else { return error.code }
    return .status(status.withoutMore)
  }
  return nil
}

extension NVMeStatus {
  /// The same status, whether or not the error log says more.
  var withoutMore: NVMeStatus { NVMeStatus(rawValue: rawValue & ~0x2000) }
}

/// Bytes that differ from place to place, and from seed to seed.
func pattern(_ byteCount: Int, seed: UInt64) -> [UInt8] {
  var random = SeededRandom(seed: seed)
  var bytes: [UInt8] = []
  bytes.reserveCapacity(byteCount + 8)
  while bytes.count < byteCount {
    let word = random.next()
    for index in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(index * 8))) }
  }
  bytes.removeLast(bytes.count - byteCount)
  return bytes
}

/// Numbers that are the same for the same seed: SplitMix64.
struct SeededRandom: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var word = state
    word = (word ^ word >> 30) &* 0xbf58_476d_1ce4_e5b9
    word = (word ^ word >> 27) &* 0x94d0_49bb_1331_11eb
    return word ^ word >> 31
  }
}

extension NVMeNamespaceInfo {
  /// A command for blocks.
  func command(_ opcode: IOOpcode, block: UInt64, count: Int) -> SubmissionQueueEntry {
    var entry = command(opcode)
    entry.startingBlock = block
    entry.blockCount = count
    return entry
  }
}

extension NVMeQueuePair {
  /// Reaps until so many commands have ended, or a wait of a minute brings none.
  func reap(_ count: Int) throws -> [NVMeCompletion] {
    var ended: [NVMeCompletion] = []
    while ended.count < count {
      guard try reap(into: &ended, timeout: .seconds(60)) > 0 else { break }
    }
    return ended
  }
}
