import VFIOUser

/// Routes a function's interrupts to the pin, MSI or MSI-X, as configuration space says at the
/// moment.
///
/// Confined to the function's loop.
final class PCIInterruptController {
  let table: MSIXTable?
  let pendingBits: MSIXPendingBits?
  private let interrupts: PCIInterrupts
  private let sets: InterruptSetBox
  private var lines: [PCIInterruptLine] = []
  private var state = PCIInterruptState()
  /// Whether nothing may reach the guest at present; what is raised waits.
  private var isQuiet = false

  /// The interrupt sets, once there are any; the table's closures share it.
  private final class InterruptSetBox {
    var sets: [InterruptSet] = []

    subscript(index: PCIInterruptIndex) -> InterruptSet? {
      index.rawValue < sets.count ? sets[index.rawValue] : nil
    }
  }

  init(_ interrupts: PCIInterrupts) {
    self.interrupts = interrupts
    let sets = InterruptSetBox()
    self.sets = sets
    table = interrupts.msix.map { msix in
      MSIXTable(vectorCount: msix.vectorCount) { vector, isMasked in
        sets[.msix]?.setBusMask(isMasked, vector: vector)
      }
    }
    pendingBits = interrupts.msix.map { msix in
      MSIXPendingBits(vectorCount: msix.vectorCount) { vector in
        sets[.msix]?.isPending(vector) ?? false
      }
    }
  }

  /// Takes the sets that reach the client, and brings them to the present state.
  func attach(_ sets: [InterruptSet], _ state: PCIInterruptState) {
    self.sets.sets = sets
    if let table, let msix = interrupts.msix {
      for vector in 0..<msix.vectorCount {
        self.sets[.msix]?.setBusMask(table.isMasked(vector), vector: vector)
      }
    }
    update(state, isForced: true)
  }

  /// A line of the function, with the vector that carries it when messages are in use.
  func makeLine(vector: Int) -> PCIInterruptLine {
    let line = PCIInterruptLine(vector: vector, controller: self)
    lines.append(line)
    return line
  }

  /// What raises `vector` from any loop.
  func makeTrigger(vector: Int, home: EventLoop) -> InterruptTrigger {
    let route: () -> Void = { [weak self] in self?.raise(vector) }
    // The gates of MSI-X are shut while it is not in use, and the raise takes the route.
    return sets[.msix]?.makeTrigger(vector: vector, otherwise: route)
      ?? InterruptTrigger(home: home, otherwise: route)
  }

  /// Whether any line is asserted: the status bit.
  var isPinAsserted: Bool { lines.contains(where: \.isAsserted) }

  /// Whether messages are in use, and the pin is not.
  var usesMessages: Bool { state.usesMessages }

  /// The pending bits of MSI.
  var pendingMSIs: UInt32 {
    guard let set = sets[.msi], let msi = interrupts.msi else { return 0 }
    var bits: UInt32 = 0
    for vector in 0..<msi.vectorCount where set.isPending(vector) { bits |= 1 << vector }
    return bits
  }

  /// Sends the message of `vector`, by whichever kind of message is in use; none in use drops it.
  func raise(_ vector: Int) {
    guard vector >= 0 else { return }
    if state.isMSIXEnabled {
      guard let msix = interrupts.msix, vector < msix.vectorCount else { return }
      sets[.msix]?.raise(vector)
    } else if state.isMSIEnabled {
      // A driver may allow fewer vectors than there are; they are shared then.
      sets[.msi]?.raise(vector & (state.allowedMSICount - 1))
    }
  }

  /// Tells the client of an error of the device.
  func raiseError() { sets[.error]?.raise(0) }

  func lineChanged(_ line: PCIInterruptLine, isNewCause: Bool) {
    if state.usesMessages {
      if isNewCause { raise(line.vector) }
    } else {
      drivePin()
    }
  }

  /// Takes over what configuration space says now.
  func update(_ new: PCIInterruptState, isForced: Bool = false) {
    let old = state
    guard new != old || isForced else { return }
    state = new
    let isHeld = isQuiet || !new.canMaster
    if interrupts.msix != nil {
      sets[.msix]?.setBusGate(
        gate(isEnabled: new.isMSIXEnabled, isHeld: new.isMSIXMasked || isHeld))
    }
    if let msi = interrupts.msi {
      for vector in 0..<msi.vectorCount where (new.msiMask ^ old.msiMask) >> vector & 1 != 0 {
        sets[.msi]?.setBusMask(new.msiMask >> vector & 1 != 0, vector: vector)
      }
      sets[.msi]?.setBusGate(
        gate(isEnabled: new.isMSIEnabled && !new.isMSIXEnabled, isHeld: isHeld))
    }
    drivePin()
    if new.usesMessages, !old.usesMessages {
      // The cause of an asserted line would be lost: no later edge announces it.
      for line in lines where line.isAsserted { raise(line.vector) }
    }
  }

  private func gate(isEnabled: Bool, isHeld: Bool) -> BusGate {
    isEnabled ? (isHeld ? .hold : .open) : .closed
  }

  private func drivePin() {
    guard interrupts.pin != nil, !isQuiet else { return }
    sets[.intx]?.setLevel(
      isPinAsserted && !state.usesMessages && !state.isPinDisabled && state.isPowered)
  }

  /// Holds everything back, or lets it go: then what was raised meanwhile is delivered.
  func setQuiet(_ isQuiet: Bool) {
    guard isQuiet != self.isQuiet else { return }
    self.isQuiet = isQuiet
    update(state, isForced: true)
  }

  /// Releases every line and forgets what is pending.
  func reset(_ state: PCIInterruptState) {
    for line in lines { line.forget() }
    table?.reset()
    update(state, isForced: true)
  }
}
