import CVFIOUserLinux
import Glibc
import VFIOUser

/// An interrupt controller for CPUs in software: the registers of an I/O APIC, and for each CPU the
/// vectors that wait for it.
///
/// Of a local APIC it has only what makes interrupts arrive: no priorities, timers or messages between
/// CPUs. A vector that is sent again before it was taken is taken once, as in hardware.
///
/// Threads: any. A CPU takes its interrupts on its own thread.
/// Source: Intel 82093AA data sheet, section 3.
public final class SoftwareInterruptController: InterruptController, GuestAccessHandler {
  /// Where an I/O APIC is.
  public static let address = GuestAddress(0xfec0_0000)
  /// How many bytes it takes.
  public static let byteCount: UInt64 = 0x1000
  /// How many inputs it has.
  public static let lineCount = 24

  private struct Source {
    var descriptor: CInt
    var target: InterruptTarget
    var isAsserted = false
  }

  private struct State {
    var sources: [Int: Source] = [:]
    var nextIdentity = 0
    /// The redirection table; each input masked.
    var entries = [UInt64](repeating: 1 << 16, count: lineCount)
    var register: UInt8 = 0
    var identification: UInt32 = 0
    /// Vectors that wait, by CPU.
    var pending: [Set<UInt8>]
  }

  private let state: Guarded<State>
  private let wakes: [EventDescriptorBox]

  /// A controller for so many CPUs.
  ///
  /// - Throws: `EMFILE` when no descriptor is left.
  public init(cpuCount: Int) throws(Errno) {
    state = Guarded(State(pending: [Set<UInt8>](repeating: [], count: cpuCount)))
    var made: [EventDescriptorBox] = []
    for _ in 0..<cpuCount { made.append(EventDescriptorBox(try EventDescriptor())) }
    wakes = made
  }

  // MARK: Connections

  /// See ``InterruptController``.
  ///
  /// - Throws: `systemCall` for an input that it has not.
  public func connect(
    _ descriptor: CInt, to target: InterruptTarget
  ) throws(MachineError) -> InterruptConnection {
    if case .line(let line, _) = target, !(0..<Self.lineCount).contains(line) {
      throw MachineError(.systemCall, "the interrupt controller has no input \(line)")
    }
    let connection = state.withLock { Self.add(descriptor, target, &$0) }
    wakeAll()
    return connection
  }

  /// See ``InterruptController``.
  public func connect(
    _ requests: [MessageRequest]
  ) -> [Result<InterruptConnection, MachineError>] {
    let outcomes = state.withLock { state in
      requests.map { request -> Result<InterruptConnection, MachineError> in
        switch request.source {
        case .connection(let connection):
          guard state.sources[connection.identity] != nil else {
            return .failure(MachineError(.systemCall, "the interrupt is not connected"))
          }
          state.sources[connection.identity]?.target = .message(request.message)
          return .success(connection)
        case .descriptor(let descriptor):
          return .success(Self.add(descriptor, .message(request.message), &state))
        }
      }
    }
    wakeAll()
    return outcomes
  }

  private static func add(
    _ descriptor: CInt, _ target: InterruptTarget, _ state: inout State
  ) -> InterruptConnection {
    state.nextIdentity += 1
    state.sources[state.nextIdentity] = Source(descriptor: descriptor, target: target)
    return InterruptConnection(identity: state.nextIdentity)
  }

  /// See ``InterruptController``.
  public func disconnect(_ connection: InterruptConnection) {
    _ = state.withLock { $0.sources.removeValue(forKey: connection.identity) }
    wakeAll()
  }

  private func wakeAll() {
    for wake in wakes { wake.signal() }
  }

  // MARK: The CPUs' side

  /// Takes an interrupt of a CPU that waits, if there is one: the highest vector first.
  public func take(cpu: Int) -> UInt8? {
    let (vector, woken) = state.withLock { state in
      let woken = Self.collect(&state)
      let vector = state.pending[cpu].max()
      if let vector { state.pending[cpu].remove(vector) }
      return (vector, woken)
    }
    for other in woken where other != cpu { wakes[other].signal() }
    return vector
  }

  /// The CPU has done what an interrupt asks for: whoever keeps a level-triggered input up is asked
  /// whether it still does.
  public func end(_ vector: UInt8, cpu: Int) {
    state.withLock { state in
      for (identity, source) in state.sources where source.isAsserted {
        guard case .line(let line, let resample) = source.target,
          UInt8(truncatingIfNeeded: state.entries[line]) == vector
        else { continue }
        state.sources[identity]?.isAsserted = false
        // Under the lock, as long as the descriptor is connected: later its number may be another's.
        _ = cvfu_event_signal(resample)
      }
      for line in state.entries.indices
      where UInt8(truncatingIfNeeded: state.entries[line]) == vector {
        state.entries[line] &= ~Entry.isInService
      }
    }
  }

  /// Waits until an interrupt may have come for a CPU, ``wake(cpu:)`` is called, or the time is over.
  public func wait(cpu: Int, timeout: Duration) {
    let own = wakes[cpu].rawValue
    var polled = state.withLock { state in
      state.sources.values.filter { !$0.isAsserted }
        .map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
    }
    polled.append(pollfd(fd: own, events: Int16(POLLIN), revents: 0))
    let (seconds, attoseconds) = timeout.components
    let limit = min(max(0, seconds), 3600) * 1000 + attoseconds / 1_000_000_000_000_000
    // Safety: the kernel writes into an array of our own, of the length that it is given.
    _ = unsafe polled.withUnsafeMutableBufferPointer { buffer in
      unsafe poll(buffer.baseAddress, nfds_t(buffer.count), CInt(clamping: limit))
    }
    wakes[cpu].consume()
  }

  /// Ends the wait of a CPU.
  public func wake(cpu: Int) { wakes[cpu].signal() }

  /// Looks at every eventfd, and gives what was signalled to the CPUs; returns which have something new.
  private static func collect(_ state: inout State) -> Set<Int> {
    var woken: Set<Int> = []
    for (identity, source) in state.sources {
      switch source.target {
      case .message(let message):
        // The device shares the eventfd, and could make it block.
        guard cvfu_event_consume(source.descriptor) == 0 else { continue }
        deliver(message.vector, to: message.destination, &state, &woken)
      case .line:
        if !source.isAsserted, cvfu_event_consume(source.descriptor) == 0 {
          state.sources[identity]?.isAsserted = true
        }
      }
    }
    for source in state.sources.values where source.isAsserted {
      guard case .line(let line, _) = source.target else { continue }
      let entry = state.entries[line]
      guard entry & Entry.isMasked == 0, entry & Entry.isInService == 0 else { continue }
      state.entries[line] |= Entry.isInService
      deliver(
        UInt8(truncatingIfNeeded: entry), to: UInt8(truncatingIfNeeded: entry >> 56), &state,
        &woken)
    }
    return woken
  }

  private static func deliver(
    _ vector: UInt8, to destination: UInt8, _ state: inout State, _ woken: inout Set<Int>
  ) {
    for cpu in state.pending.indices where destination == 0xff || Int(destination) == cpu {
      state.pending[cpu].insert(vector)
      woken.insert(cpu)
    }
  }

  // MARK: The registers

  /// Bits of a redirection entry.
  private enum Entry {
    /// "Remote IRR": a CPU has it and has not ended it.
    static let isInService: UInt64 = 1 << 14
    static let isMasked: UInt64 = 1 << 16
    static let readOnly: UInt64 = isInService | 1 << 12
  }

  /// Reads the register that was selected, or the selection.
  public func read(at offset: UInt64, byteCount: Int) -> UInt64 {
    state.withLock { state in
      switch offset {
      case 0x00: return UInt64(state.register)
      case 0x10: return UInt64(Self.load(state))
      default: return 0
      }
    }
  }

  /// Selects a register, or writes the one that was selected.
  public func write(_ value: UInt64, at offset: UInt64, byteCount: Int) {
    state.withLock { state in
      switch offset {
      case 0x00: state.register = UInt8(truncatingIfNeeded: value)
      case 0x10: Self.store(UInt32(truncatingIfNeeded: value), &state)
      default: break
      }
    }
    // An input that was masked may be asserted already.
    wakeAll()
  }

  private static func load(_ state: State) -> UInt32 {
    switch state.register {
    case 0x00, 0x02: return state.identification
    case 0x01: return UInt32(lineCount - 1) << 16 | 0x11
    case 0x10..<(0x10 + UInt8(lineCount * 2)):
      let entry = state.entries[Int(state.register - 0x10) / 2]
      return UInt32(truncatingIfNeeded: state.register & 1 == 0 ? entry : entry >> 32)
    default: return 0
    }
  }

  private static func store(_ value: UInt32, _ state: inout State) {
    switch state.register {
    case 0x00: state.identification = value & 0x0f00_0000
    case 0x10..<(0x10 + UInt8(lineCount * 2)):
      let index = Int(state.register - 0x10) / 2
      let old = state.entries[index]
      let new =
        state.register & 1 == 0
        ? old & ~0xffff_ffff | UInt64(value) : old & 0xffff_ffff | UInt64(value) << 32
      state.entries[index] = new & ~Entry.readOnly | old & Entry.readOnly
    default: break
    }
  }
}
