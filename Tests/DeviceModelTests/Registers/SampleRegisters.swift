import DeviceModel
import VFIOUser

/// Registers of every access kind, with fields of other kinds, at mixed widths.
enum SampleRegister: Int, RegisterMap {
  case identification, control, status, raise, count, command, wide, mixed, half, byte, doorbell

  var declaration: Register {
    switch self {
    case .identification:
      Register(
        "ID", "Identification", at: 0x00, bytes: 4, .readOnly, reset: 0x0100_00ed,
        "Version and magic.",
        [Field("Major", 24...31, "Major version."), Field("Magic", 0...7, "Always 0xed.")])
    case .control:
      Register("CTL", "Control", at: 0x04, bytes: 4, .readWrite, "Scratch.")
    case .status:
      Register("STS", "Status", at: 0x08, bytes: 4, .writeOneToClear, reset: 0xffff_0000, "Events.")
    case .raise:
      Register("RAISE", "Raise", at: 0x0c, bytes: 4, .writeOneToSet, "Sets bits.")
    case .count:
      Register("CNT", "Count", at: 0x10, bytes: 4, .readToClear, reset: 0x1234_5678, "Counts.")
    case .command:
      Register("CMD", "Command", at: 0x14, bytes: 4, .writeOnly, "Starts commands.")
    case .wide:
      Register(
        "WIDE", "Wide", at: 0x18, bytes: 8, .readWrite, reset: 0x1122_3344_5566_7788, "Wide.")
    case .mixed:
      Register(
        "MIX", "Mixed", at: 0x20, bytes: 4, .readOnly, reset: 0xa5a5_a5a5, "A bit of each.",
        [
          Field("RW", 0...6, .readWrite, "Read and write."),
          Field("W1C", 7...12, .writeOneToClear, "Write one to clear."),
          Field("W1S", 13...17, .writeOneToSet, "Write one to set."),
          Field("RC", 18...23, .readToClear, "Read to clear."),
          Field("WO", 24...27, .writeOnly, "Write only."),
        ])
    case .half:
      Register("HALF", "Half", at: 0x24, bytes: 2, .readWrite, reset: 0xbeef, "Two bytes.")
    case .byte:
      Register("BYTE", "Byte", at: 0x27, bytes: 1, .readWrite, reset: 0x5a, "One byte.")
    case .doorbell:
      Register(
        "DBL", "Doorbell", at: 0x30, bytes: 4, .readWrite,
        array: RegisterArray(count: 3, stride: 8),
        "One for each queue.")
    }
  }
}

/// Reads and writes integers of any width through the handler, as a region would.
extension RegionHandler {
  func read(_ offset: Int, bytes count: Int) throws(Errno) -> UInt64 {
    try loadBytes(at: RegionOffset(UInt64(offset)), byteCount: count).reversed()
      .reduce(0) { $0 << 8 | UInt64($1) }
  }

  func write(_ value: UInt64, _ offset: Int, bytes count: Int) throws(Errno) {
    try storeBytes(
      (0..<count).map { UInt8(truncatingIfNeeded: $0 < 8 ? value >> UInt64($0 * 8) : 0) },
      at: RegionOffset(UInt64(offset)))
  }
}

/// A byte-by-byte model of what declarations mean, as slow and as plain as can be.
struct NaiveRegisters {
  var bits: [Bool]
  private var kinds: [RegisterAccess?]

  init(_ declarations: [Register], byteCount: Int) {
    bits = Array(repeating: false, count: byteCount * 8)
    kinds = Array(repeating: nil, count: byteCount * 8)
    for register in declarations {
      for element in 0..<register.count {
        let start = (register.offset + element * (register.array?.strideByteCount ?? 0)) * 8
        for bit in 0..<register.byteCount * 8 {
          let field = register.fields.first { $0.bits.contains(bit) }
          kinds[start + bit] = field?.access ?? register.access
          bits[start + bit] = register.resetValue >> UInt64(bit) & 1 == 1
        }
      }
    }
  }

  mutating func read(_ offset: Int, bytes count: Int) -> [UInt8] {
    (offset..<offset + count).map { byte in
      var value: UInt8 = 0
      for bit in 0..<8 where byte * 8 + bit < bits.count {
        let position = byte * 8 + bit
        guard let kind = kinds[position], kind != .writeOnly else { continue }
        if bits[position] { value |= 1 << UInt8(bit) }
        if kind == .readToClear { bits[position] = false }
      }
      return value
    }
  }

  mutating func write(_ bytes: [UInt8], _ offset: Int) {
    for (number, byte) in bytes.enumerated() {
      for bit in 0..<8 where (offset + number) * 8 + bit < bits.count {
        let position = (offset + number) * 8 + bit
        let isOne = byte >> UInt8(bit) & 1 == 1
        switch kinds[position] {
        case .readWrite, .writeOnly: bits[position] = isOne
        case .writeOneToClear: if isOne { bits[position] = false }
        case .writeOneToSet: if isOne { bits[position] = true }
        case .readOnly, .readToClear, nil: break
        }
      }
    }
  }
}

/// A small generator with a seed, so that a failure can be repeated.
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
