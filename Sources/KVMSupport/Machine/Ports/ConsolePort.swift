import VFIOUser

/// A serial port that a guest prints on: the registers of an 8250 that is always ready, without
/// interrupts and without timing.
///
/// Threads: any; a byte is handed on before the guest's write ends, one at a time.
/// Source: National Semiconductor PC16550D, section 8.
public final class ConsolePort: GuestAccessHandler {
  /// Where a PC's first serial port is.
  public static let port = GuestAddress(0x3f8)
  /// How many ports it takes.
  public static let portCount: UInt64 = 8

  /// The registers, by offset.
  private enum Register {
    static let data = 0
    static let interruptEnable = 1
    static let interruptIdentification = 2
    static let lineControl = 3
    static let modemControl = 4
    static let lineStatus = 5
    static let modemStatus = 6
    static let scratch = 7
  }

  private struct State {
    var registers = [UInt8](repeating: 0, count: 8)
    var divisor: [UInt8] = [1, 0]
    var input: [UInt8] = []
    var outputByteCount = 0
  }

  private let state = Guarded(State())
  private let output: @Sendable (UInt8) -> Void

  /// Makes a console.
  ///
  /// - Parameter output: takes each byte that the guest prints, while the guest waits.
  public init(output: @escaping @Sendable (UInt8) -> Void) { self.output = output }

  /// How many bytes were printed.
  public var outputByteCount: Int { state.withLock(\.outputByteCount) }

  /// Gives the guest bytes to read; beyond 4096 unread ones they are dropped.
  public func type(_ bytes: some Sequence<UInt8>) {
    let bytes = Array(bytes)
    state.withLock { state in
      state.input += bytes.prefix(max(0, 4096 - state.input.count))
    }
  }

  /// Reads registers, a byte each.
  public func read(at offset: UInt64, byteCount: Int) -> UInt64 {
    var value: UInt64 = 0
    for index in 0..<byteCount {
      value |= UInt64(readByte(Int(offset) + index)) << UInt64(index * 8)
    }
    return value
  }

  /// Writes registers, a byte each.
  public func write(_ value: UInt64, at offset: UInt64, byteCount: Int) {
    for index in 0..<byteCount {
      writeByte(UInt8(truncatingIfNeeded: value >> UInt64(index * 8)), Int(offset) + index)
    }
  }

  private func readByte(_ register: Int) -> UInt8 {
    state.withLock { state in
      let isLatch = state.registers[Register.lineControl] & 0x80 != 0
      switch register {
      case Register.data, Register.interruptEnable:
        if isLatch { return state.divisor[register] }
        guard register == Register.data else { return state.registers[register] }
        return state.input.isEmpty ? 0 : state.input.removeFirst()
      // No interrupt is pending.
      case Register.interruptIdentification: return 0x01
      // The transmitter is empty; a byte may have come.
      case Register.lineStatus: return 0x60 | (state.input.isEmpty ? 0 : 1)
      // Carrier, ready, clear to send.
      case Register.modemStatus: return 0xb0
      case Register.lineControl, Register.modemControl, Register.scratch:
        return state.registers[register]
      default: return 0xff
      }
    }
  }

  private func writeByte(_ value: UInt8, _ register: Int) {
    let isOutput = state.withLock { state in
      let isLatch = state.registers[Register.lineControl] & 0x80 != 0
      switch register {
      case Register.data, Register.interruptEnable:
        if isLatch {
          state.divisor[register] = value
        } else if register == Register.data {
          state.outputByteCount += 1
          return true
        } else {
          state.registers[register] = value & 0x0f
        }
      case Register.lineControl, Register.modemControl, Register.scratch:
        state.registers[register] = value
      default: break
      }
      return false
    }
    if isOutput { output(value) }
  }
}
