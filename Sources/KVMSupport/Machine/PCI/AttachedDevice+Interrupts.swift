import VFIOUser

// How the device's interrupts reach the guest. Everything here is called with the device's lock held,
// but for what the BAR's intercepts call.
extension AttachedDevice {
  /// Whether MSI-X is on, and whether all of it is masked.
  private var vectorControl: (isOn: Bool, isMasked: Bool) {
    guard let msix = profile.capabilities.msix else { return (false, false) }
    let control: UInt16 = shadow.load(at: msix + 2)
    return (control & 0x8000 != 0, control & 0x4000 != 0)
  }

  /// How many messages MSI may send; 0 while it is off, or MSI-X is on.
  private var allowedMessageCount: Int {
    guard let msi = profile.capabilities.msi, !vectorControl.isOn else { return 0 }
    let control: UInt16 = shadow.load(at: msi + 2)
    return control & 1 == 0 ? 0 : min(1 << Int(control >> 4 & 7), profile.messageCount)
  }

  /// What MSI sends for a vector: its number stands in the low bits of the data.
  private func message(_ vector: Int, of count: Int) -> InterruptMessage {
    let msi = profile.capabilities.msi ?? 0
    let address: UInt64 =
      profile.has64BitMessages
      ? shadow.load(at: msi + 4) : UInt64(shadow.load(at: msi + 4, as: UInt32.self))
    let data: UInt16 = shadow.load(at: msi + profile.messageDataOffset)
    return InterruptMessage(
      address: address, data: UInt32(data) & ~UInt32(count - 1) | UInt32(vector))
  }

  // MARK: Setting up

  /// Sets messages up that are wanted now, before the device knows that they are on.
  func armMessages() {
    let vectorControl = vectorControl
    let count = allowedMessageCount
    guard vectorControl.isOn || count > 0 else { return }
    dropLine()
    if vectorControl.isOn {
      dropMessages()
      if let table { updateVectors(0..<table.vectorCount, connects: true) }
      return
    }
    if count != messageCount {
      dropMessages()
      makeMessages(count)
    } else {
      let wishes = messages.enumerated().map { ($0.element, message($0.offset, of: count)) }
      for error in DeviceVector.connect(wishes) {
        reporting("MSI") { () throws(MachineError) in if let error { throw error } }
      }
    }
  }

  /// Takes messages down that are not wanted any more, once the device knows; then the pin counts.
  func disarmMessages() {
    guard !isGone else { return }
    if vectorControl.isOn {
      if let table { updateVectors(0..<table.vectorCount, connects: false) }
    } else {
      dropVectors()
    }
    if allowedMessageCount == 0 { dropMessages() }
    if !vectorControl.isOn, allowedMessageCount == 0 { armLine() }
  }

  private func makeMessages(_ count: Int) {
    // Also where it fails: it is not tried again before the guest has turned it off.
    messageCount = count
    reporting("MSI") { () throws(MachineError) in
      var made: [DeviceVector] = []
      for _ in 0..<count { made.append(try makeVector()) }
      let wishes = made.enumerated().map { ($0.element, message($0.offset, of: count)) }
      for error in DeviceVector.connect(wishes) { if let error { throw error } }
      try assign(.msi, start: 0, made)
      messages = made
    }
  }

  private func dropMessages() {
    guard messageCount > 0 else { return }
    messages = []
    messageCount = 0
    try? calling { () throws(ClientError) in
      try session.disableInterrupts(index: InterruptType.msi.rawValue)
    }
  }

  /// Brings vectors to what the table and the capability say.
  ///
  /// - Parameter connects: whether to do what lets interrupts through, or what holds them back.
  private func updateVectors(_ range: Range<Int>, connects: Bool) {
    guard let table else { return }
    let control = vectorControl
    var made: [Int: DeviceVector] = [:]
    var opened: [Int] = []
    for vector in range {
      let isOpen = control.isOn && !control.isMasked && !table.isMasked(vector)
      let known = vectors[vector]
      guard connects else {
        if !isOpen { known?.disconnect() }
        continue
      }
      guard isOpen || known == nil && profile.hasFixedVectors && control.isOn else { continue }
      reporting("MSI-X vector \(vector)") { () throws(MachineError) in
        if known == nil { made[vector] = try makeVector() }
        if isOpen { opened.append(vector) }
      }
    }
    let wishes = opened.compactMap { vector in
      (vectors[vector] ?? made[vector]).map { ($0, table.message(vector)) }
    }
    for (vector, error) in zip(opened, DeviceVector.connect(wishes)) {
      guard let error else { continue }
      made[vector] = nil
      reporting("MSI-X vector \(vector)") { () throws(MachineError) in throw error }
    }
    give(made.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
  }

  /// Gives new vectors to the device, those that follow each other in one go.
  private func give(_ made: [(vector: Int, delivery: DeviceVector)]) {
    var rest = made[...]
    while let first = rest.first {
      let run = rest.enumerated().prefix { $0.element.vector == first.vector + $0.offset }
        .map(\.element)
      rest = rest.dropFirst(run.count)
      reporting("MSI-X vectors from \(first.vector) on") { () throws(MachineError) in
        try assign(.msix, start: first.vector, run.map(\.delivery))
        for entry in run { vectors[entry.vector] = entry.delivery }
      }
    }
  }

  private func dropVectors() {
    guard !vectors.isEmpty else { return }
    vectors = [:]
    try? calling { () throws(ClientError) in
      try session.disableInterrupts(index: InterruptType.msix.rawValue)
    }
  }

  private func makeVector() throws(MachineError) -> DeviceVector {
    do throws(Errno) { return try DeviceVector(surroundings.controller) } catch {
      throw MachineError(.systemCall, "cannot make an eventfd: \(error)")
    }
  }

  private func assign(
    _ type: InterruptType, start: Int, _ vectors: [DeviceVector]
  ) throws(MachineError) {
    try Self.connecting(name) { () throws(ClientError) in
      try calling { () throws(ClientError) in
        try session.assignInterrupts(
          index: type.rawValue, start: start, descriptors: vectors.map(\.descriptor))
      }
    }
  }

  /// Reports what goes wrong, once each: the guest goes on without that interrupt.
  private func reporting(_ what: String, _ body: () throws(MachineError) -> Void) {
    do throws(MachineError) { try body() } catch {
      // That the server is gone is told anyway, and its successor gets everything once more.
      guard session.connectionFailure == nil else { return }
      let text = "\(what): \(error)"
      guard refusals.count < Self.refusalLimit, refusals.insert(text).inserted else { return }
      surroundings.report(.interruptRefused(address, text))
    }
  }

  // MARK: The pin

  /// Connects the pin, if there is one and it is not connected.
  func armLine() {
    guard profile.pin > 0, line == nil else { return }
    let number = surroundings.line(address.device, profile.pin)
    reporting("the interrupt pin") { () throws(MachineError) in
      let made = try DeviceLine(surroundings.controller, line: number)
      try Self.connecting(name) { () throws(ClientError) in
        let index = InterruptType.line.rawValue
        try calling { () throws(ClientError) in
          try session.assignInterrupts(
            index: index, descriptors: [made.resampleDescriptor], action: .unmask)
          try session.assignInterrupts(index: index, descriptors: [made.triggerDescriptor])
        }
      }
      line = made
    }
  }

  private func dropLine() {
    guard line != nil else { return }
    line = nil
    try? calling { () throws(ClientError) in
      try session.disableInterrupts(index: InterruptType.line.rawValue)
    }
  }

  // MARK: Loss

  /// The device is lost: nothing is delivered any more, and nothing is said to it.
  func dropInterrupts() {
    line = nil
    messages = []
    messageCount = 0
    vectors = [:]
  }

  /// Sends what the guest may wait for, since nobody knows what was lost with the last server; what it
  /// holds back stays pending.
  func signalInterrupts() {
    for delivery in messages { delivery.signal() }
    for (vector, delivery) in vectors where table?.isUsed(vector) ?? false { delivery.signal() }
    if command & PCIHeader.Command.interruptDisable == 0 { line?.signal() }
  }

  // MARK: The table of MSI-X, for whoever accesses the BAR

  /// Reads the table as the guest has written it.
  func readTable(at offset: Int, byteCount: Int) -> UInt64 {
    guard !isGone else { return .max }
    return lock.withLock { table?.read(at: offset, byteCount: byteCount) ?? .max }
  }

  /// Writes the table: what is let through is ready before the device knows, what is held back is held
  /// back here once the device knows. False while the device is away.
  func writeTable(_ value: UInt64, at offset: Int, byteCount: Int) -> Bool {
    guard let layout = profile.msix, !isGone else { return true }
    var failure: ClientError?
    lock.withLock {
      guard !client.isAway else { return failure = .away }
      guard let touched = table?.write(value, at: offset, byteCount: byteCount), !touched.isEmpty,
        let region = window(of: layout.tableBAR)
      else { return }
      if vectorControl.isOn { updateVectors(touched, connects: true) }
      do throws(ClientError) {
        try region.writeWord(
          value, at: RegionOffset(layout.tableOffset + UInt64(offset)), byteCount: byteCount)
      } catch {
        failure = error
      }
      if vectorControl.isOn { updateVectors(touched, connects: false) }
    }
    return failure.map { !isToWait(for: $0) } ?? true
  }

  /// Reads pending bits: what the device holds back, and what is held back here; nil while the device is
  /// away.
  func readPendingBits(at offset: Int, byteCount: Int) -> UInt64? {
    guard let layout = profile.msix, !isGone else { return .max }
    let (region, held) = lock.withLock { () -> ((any DeviceRegion)?, UInt64) in
      var held: UInt64 = 0
      for (vector, delivery) in vectors {
        let bit = vector - offset * 8
        if (0..<(byteCount * 8)).contains(bit), delivery.isPending { held |= 1 << UInt64(bit) }
      }
      return (window(of: layout.pendingBAR), held)
    }
    guard let region else { return .max }
    do throws(ClientError) {
      return try held
        | region.readWord(
          at: RegionOffset(layout.pendingOffset + UInt64(offset)), byteCount: byteCount)
    } catch {
      if isToWait(for: error) { return nil }
      return error.code == .rejected ? held : .max
    }
  }

  /// The region behind a BAR. The caller holds the lock.
  private func window(of bar: Int) -> (any DeviceRegion)? {
    windows.first { $0.bar.index == bar }?.window.region
  }
}
