import DeviceModel

extension UART16550 {
  var isLoopback: Bool {
    ModemControl(rawValue: UInt8(truncatingIfNeeded: registers[.modemControl])).contains(.loopback)
  }

  // MARK: - FIFOs

  var areFIFOsEnabled: Bool { registers[.fifoControl] & 1 != 0 }

  /// How many waiting characters interrupt.
  var triggerLevel: Int {
    guard areFIFOsEnabled else { return 1 }
    switch registers[.fifoControl] >> 6 & 3 {
    case 0: return 1
    case 1: return 4
    case 2: return 8
    default: return 14
    }
  }

  /// Takes a write of FIFO Control, and returns what of it is kept.
  func fifoControlWritten(_ written: UInt64, from old: UInt64) -> UInt64 {
    let isEnabled = written & 1 != 0
    let isChange = (written ^ old) & 1 != 0
    let kept = isEnabled ? written & 0xc9 : 0
    registers[.fifoControl] = kept
    if isChange || isEnabled && written & 2 != 0 {
      receiver.clear(capacity: isEnabled ? ReceiverFIFO.depth : 1)
      receiverChanged()
      port.resumeReceiving()
    }
    if isChange || isEnabled && written & 4 != 0, !transmitter.isEmpty {
      transmitter = []
      reportsTransmitterEmpty = true
      transmitterDrained()
    }
    updateInterrupt()
    return kept
  }

  // MARK: - Receiving

  /// How many characters the host may deliver now.
  var receiveCapacity: Int { isPaused || isLoopback ? 0 : receiver.space }

  func receive(_ characters: [UInt8]) {
    for character in characters { take(character) }
    receiverChanged()
  }

  /// The other end sends a break.
  public func receiveBreak() {
    take(0, .breakReceived)
    receiverChanged()
  }

  private func take(_ character: UInt8, _ errors: LineStatus = []) {
    if !receiver.append(character, errors) { hasOverrun = true }
  }

  func readCharacter(else last: UInt64) -> UInt8 {
    guard let character = receiver.removeFirst() else { return UInt8(truncatingIfNeeded: last) }
    receiverChanged()
    port.resumeReceiving()
    return character
  }

  // MARK: - Sending

  func send(_ character: UInt8) {
    reportsTransmitterEmpty = false
    if isLoopback {
      take(character)
      receiverChanged()
    } else if !transmitter.isEmpty || isPaused || port.write([character]) == 0 {
      if transmitter.count < Self.transmitterDepth {
        transmitter.append(character)
      } else {
        countDropped()
      }
    }
    reportsTransmitterEmpty = transmitter.isEmpty
    updateInterrupt()
  }

  /// The host has room for what waits.
  func hostHasSpace() {
    guard !isPaused, !transmitter.isEmpty else { return }
    transmitter.removeFirst(min(port.write(transmitter), transmitter.count))
    guard transmitter.isEmpty else { return }
    reportsTransmitterEmpty = true
    transmitterDrained()
    updateInterrupt()
  }

  // MARK: - Status

  var lineStatus: LineStatus {
    var status = receiver.oldestErrors
    if !receiver.isEmpty { status.insert(.dataReady) }
    if hasOverrun { status.insert(.overrun) }
    if transmitter.isEmpty { status.formUnion([.transmitterHoldingEmpty, .transmitterEmpty]) }
    if areFIFOsEnabled, receiver.hasErrors { status.insert(.fifoError) }
    return status
  }

  /// Line Status as a driver reads it, which clears the errors.
  func readLineStatus() -> UInt8 {
    let status = lineStatus
    hasOverrun = false
    receiver.clearOldestErrors()
    updateInterrupt()
    return status.rawValue
  }

  func readModemStatus() -> UInt8 {
    let status = modemStatus
    modemStatus.subtract(.changes)
    updateInterrupt()
    return status.rawValue
  }

  func updateModemInputs() {
    guard !isPaused else { return }
    let control = ModemControl(rawValue: UInt8(truncatingIfNeeded: registers[.modemControl]))
    let inputs: ModemStatus =
      control.contains(.loopback)
      ? ModemStatus(loopbackOf: control) : port.isConnected ? .connected : []
    modemStatus = modemStatus.changed(to: inputs)
    updateInterrupt()
  }
}
