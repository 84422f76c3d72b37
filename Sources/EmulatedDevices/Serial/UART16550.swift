import DeviceModel

/// A 16550A: a serial port's registers, FIFOs and interrupt, for any bus.
///
/// The core knows its registers, an interrupt line, a byte stream and a clock; a bus gives it these and
/// serves the registers. Characters are not slowed down to the baud rate.
///
/// Output is not lost when the host's side is slow: while it has no room, LSR.THRE and LSR.TEMT stay
/// clear, and what a driver writes without looking goes into a FIFO of 16 characters; beyond that it
/// is dropped and counted in ``droppedByteCount``. Drivers that poll LSR meanwhile are answered late,
/// so that they do not burn a CPU. Input is taken from the host only as far as the FIFO has room.
///
/// Source: National Semiconductor PC16550D data sheet.
///
/// Threads: confined to the loop of the device.
public final class UART16550 {
  /// The longest that a read of LSR waits for room, by default.
  public static let longestLineStatusWait = Duration.milliseconds(100)

  /// How many characters the driver wrote that found no room.
  public private(set) var droppedByteCount = 0

  let registers: RegisterBlock<UART16550Register>
  let port: CharacterPort
  var receiver = ReceiverFIFO()
  /// Written characters that the host had no room for.
  var transmitter: [UInt8] = []
  var hasOverrun = false
  var modemStatus: ModemStatus = []
  /// THR empty is reported, until IIR has shown it or a character is written.
  var reportsTransmitterEmpty = false
  var reportsTimeout = false
  var isPaused = false
  private let interrupt: InterruptLine
  private let timeout: CharacterTimeout
  private let lineStatusReply: LateReply

  static let transmitterDepth = 16

  /// Makes a serial port in its state after power-on.
  ///
  /// - Parameters:
  ///   - registers: its registers, which the bus serves.
  ///   - interrupt: its interrupt.
  ///   - port: the byte stream of the host.
  ///   - clock: the bus's time.
  ///   - lineStatusWait: how long a read of LSR may wait for room; zero answers at once.
  public init(
    registers: RegisterBlock<UART16550Register>, interrupt: InterruptLine, port: CharacterPort,
    clock: DeviceClock, lineStatusWait: Duration = UART16550.longestLineStatusWait
  ) {
    self.registers = registers
    self.interrupt = interrupt
    self.port = port
    timeout = CharacterTimeout(clock: clock)
    lineStatusReply = LateReply(clock: clock, longestWait: lineStatusWait)
    modemStatus = port.isConnected ? .connected : []
    timeout.onTimeout = { [unowned self] in receiverTimedOut() }
    lineStatusReply.value = { [unowned self] in UInt64(readLineStatus()) }
    registers.effect = { [unowned self] access throws(Errno) in perform(&access) }
    // The port may outlive the device.
    port.receiveCapacity = { [weak self] in self?.receiveCapacity ?? 0 }
    port.onReceive = { [weak self] in self?.receive($0) }
    port.onSpace = { [weak self] in self?.hostHasSpace() }
    port.onConnectionChange = { [weak self] _ in self?.updateModemInputs() }
  }

  // MARK: - The bus's side

  /// Back to the state after power-on. The registers have been reset already.
  ///
  /// Characters in the FIFOs are gone, as they are when the hardware is reset.
  public func reset() {
    lineStatusReply.cancel()
    timeout.cancel()
    receiver.clear(capacity: 1)
    transmitter = []
    hasOverrun = false
    reportsTransmitterEmpty = false
    reportsTimeout = false
    modemStatus = port.isConnected ? .connected : []
    updateInterrupt()
    port.resumeReceiving()
  }

  /// Changes nothing that a driver could notice, until ``resume()``.
  public func pause() {
    isPaused = true
    lineStatusReply.answerNow()
  }

  /// Goes on after ``pause()``.
  public func resume() {
    isPaused = false
    updateModemInputs()
    hostHasSpace()
    port.resumeReceiving()
  }

  // MARK: - Accesses

  private func perform(_ access: inout RegisterEffect) {
    switch UART16550Register(access) {
    case .receiverBuffer: access.value = UInt64(readCharacter(else: access.oldValue))
    case .transmitterHolding: send(UInt8(truncatingIfNeeded: access.written))
    case .interruptEnable: interruptEnableWritten(from: access.oldValue)
    case .interruptIdentification: access.value = UInt64(readInterruptIdentification())
    case .fifoControl: access.value = fifoControlWritten(access.written, from: access.oldValue)
    case .lineControl: lineControlWritten(access.value, from: access.oldValue)
    case .modemControl: modemControlWritten()
    case .lineStatus: lineStatusRead(&access)
    case .modemStatus: access.value = UInt64(readModemStatus())
    case .scratch, .divisorLow, .divisorHigh: break
    }
  }

  private func lineStatusRead(_ access: inout RegisterEffect) {
    let isStalled = !transmitter.isEmpty && receiver.isEmpty && !hasOverrun && !isPaused
    if isStalled, lineStatusReply.hold(access) { return }
    access.value = UInt64(readLineStatus())
  }

  private func readInterruptIdentification() -> UInt8 {
    let cause = interruptCause
    if cause == .transmitterEmpty {
      reportsTransmitterEmpty = false
      updateInterrupt()
    }
    return cause.rawValue | (areFIFOsEnabled ? 0xc0 : 0)
  }

  private func interruptEnableWritten(from old: UInt64) {
    let before = InterruptEnable(rawValue: UInt8(truncatingIfNeeded: old))
    // Enabling it reports an empty transmitter that was empty all along.
    if interruptEnable.contains(.transmitterEmpty), !before.contains(.transmitterEmpty) {
      reportsTransmitterEmpty = transmitter.isEmpty
    }
    updateInterrupt()
  }

  private func lineControlWritten(_ value: UInt64, from old: UInt64) {
    registers.selectBank(value & 0x80 == 0 ? UART16550Register.ordinary : UART16550Register.divisor)
    if value & ~old & 0x40 != 0, isLoopback { receiveBreak() }
  }

  private func modemControlWritten() {
    updateModemInputs()
    if !isLoopback { port.resumeReceiving() }
  }

  // MARK: - Interrupts

  var interruptEnable: InterruptEnable {
    InterruptEnable(rawValue: UInt8(truncatingIfNeeded: registers[.interruptEnable]))
  }

  /// The cause of highest priority among those that are enabled.
  private var interruptCause: InterruptCause {
    let enabled = interruptEnable
    if enabled.contains(.lineStatus), !lineStatus.isDisjoint(with: .errors) { return .lineStatus }
    if enabled.contains(.receivedData) {
      if receiver.count >= triggerLevel { return .receivedData }
      if reportsTimeout { return .characterTimeout }
    }
    if enabled.contains(.transmitterEmpty), reportsTransmitterEmpty { return .transmitterEmpty }
    if enabled.contains(.modemStatus), !modemStatus.isDisjoint(with: .changes) {
      return .modemStatus
    }
    return .none
  }

  func updateInterrupt() { interrupt.set(interruptCause != .none) }

  // MARK: - Time

  /// A character came or went: the time-out begins anew, as long as characters wait.
  func receiverChanged() {
    reportsTimeout = false
    if areFIFOsEnabled, !receiver.isEmpty {
      timeout.restart(after: timeoutDelay)
    } else {
      timeout.cancel()
    }
    if !receiver.isEmpty { lineStatusReply.answerNow() }
    updateInterrupt()
  }

  private func receiverTimedOut() {
    guard areFIFOsEnabled, !receiver.isEmpty else { return }
    reportsTimeout = true
    updateInterrupt()
  }

  /// Four characters' time, kept within what a timer can do and a person does not notice.
  private var timeoutDelay: Duration {
    let format = registers[.lineControl]
    let bits = 1 + (5 + Int(format & 3)) + (format & 8 == 0 ? 0 : 1) + (format & 4 == 0 ? 1 : 2)
    let divisor = Int(registers[.divisorHigh] << 8 | registers[.divisorLow])
    let microseconds = 4 * bits * max(divisor, 1) * 1_000_000 / 115_200
    return .microseconds(min(max(microseconds, 300), 100_000))
  }

  // MARK: - Counting and waiting, for the transmitter

  func countDropped() { droppedByteCount &+= 1 }

  func transmitterDrained() { lineStatusReply.answerNow() }
}
