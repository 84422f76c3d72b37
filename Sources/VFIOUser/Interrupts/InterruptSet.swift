/// One interrupt type of a device (a VFIO IRQ index): its vectors, their masks and what is pending.
///
/// A vector is delivered when the bus's gate is open, neither bus nor client masks it and the client
/// has assigned an eventfd to it. Until then it is pending, and it is delivered as soon as the last
/// obstacle goes. Several interrupts of a vector while it waits are one, as on hardware.
///
/// Threads: confined to the device's loop.
/// Source: vfio-user, VFIO_USER_DEVICE_SET_IRQS; `linux/vfio.h`, VFIO_DEVICE_SET_IRQS.
public final class InterruptSet {
  /// The index of the type, as the bus's convention numbers it.
  public let index: Int
  /// How many vectors there are.
  public let count: Int
  /// What clients may do with them.
  public let flags: InterruptFlags
  /// Told with a vector and its new state whenever a pending state changes.
  public var onPendingChange: ((Int, Bool) -> Void)?
  /// How many interrupts were delivered since the start, over all vectors and by all loops.
  public var deliveredCount: UInt64 {
    vectors.reduce(deliveredHere) { $0 &+ ($1.direct?.deliveredCount ?? 0) }
  }
  private var deliveredHere: UInt64 = 0

  private let loop: EventLoop
  private let vectors: [InterruptVector]
  private var gate: BusGate = .open

  init(index: Int, layout: InterruptLayout, loop: EventLoop) {
    self.index = index
    self.count = layout.count
    self.flags = layout.flags
    self.loop = loop
    vectors = (0..<layout.count).map { _ in InterruptVector() }
  }

  deinit {
    for vector in vectors { vector.direct?.open(nil) }
  }

  // MARK: The device's side

  /// Raises an edge-triggered vector. A vector that the set does not have is ignored.
  public func raise(_ vector: Int) {
    guard vectors.indices.contains(vector), gate != .closed else { return }
    setPending(vector, true)
    deliver(vector)
  }

  /// Sets the level of a level-triggered line. A vector that the set does not have is ignored.
  public func setLevel(_ isAsserted: Bool, vector: Int = 0) {
    guard vectors.indices.contains(vector) else { return }
    vectors[vector].isAsserted = isAsserted
    setPending(vector, isAsserted)
    if isAsserted { deliver(vector) }
  }

  /// Whether the vector was raised and not delivered yet.
  public func isPending(_ vector: Int) -> Bool {
    vectors.indices.contains(vector) && vectors[vector].isPending
  }

  /// Forgets a raised vector that was not delivered (the device withdrew its cause).
  public func withdraw(_ vector: Int) {
    guard vectors.indices.contains(vector) else { return }
    setPending(vector, false)
  }

  /// A way to raise `vector` from any loop.
  ///
  /// It tells the client at once where ``raise(_:)`` would, and calls `route` on the device's loop
  /// where not: the bus decides there what to do.
  public func makeTrigger(vector: Int, otherwise route: @escaping () -> Void) -> InterruptTrigger {
    // A line that masks itself has state for every delivery: that is the device's loop's business.
    guard vectors.indices.contains(vector), !flags.contains(.automasked) else {
      return InterruptTrigger(home: loop, otherwise: route)
    }
    let direct = vectors[vector].direct ?? DirectDelivery()
    vectors[vector].direct = direct
    updateDirectDelivery(vector)
    return InterruptTrigger(home: loop, direct: direct, otherwise: route)
  }

  // MARK: The bus's side

  /// Masks or unmasks one vector on the bus's behalf.
  public func setBusMask(_ isMasked: Bool, vector: Int) {
    guard vectors.indices.contains(vector), vectors[vector].isBusMasked != isMasked else { return }
    vectors[vector].isBusMasked = isMasked
    updateDirectDelivery(vector)
    if isMasked {
      vectors[vector].onMask?.event.signal()
    } else {
      vectors[vector].onUnmask?.event.signal()
      deliver(vector)
    }
  }

  /// Opens, holds or closes the whole type. Closing forgets what is pending, but not a line's level.
  public func setBusGate(_ gate: BusGate) {
    guard gate != self.gate else { return }
    self.gate = gate
    for vector in vectors.indices {
      updateDirectDelivery(vector)
      switch gate {
      case .open: deliver(vector)
      case .hold: break
      case .closed: if !vectors[vector].isAsserted { setPending(vector, false) }
      }
    }
  }

  /// Power-on state of what the device and the bus contribute; assignments of the client stay.
  public func resetBusState() {
    for (index, vector) in vectors.enumerated() {
      vector.isAsserted = false
      vector.isBusMasked = false
      vector.isAutomasked = false
      setPending(index, false)
      updateDirectDelivery(index)
    }
  }

  // MARK: Delivery

  private func setPending(_ index: Int, _ isPending: Bool) {
    guard vectors[index].isPending != isPending else { return }
    vectors[index].isPending = isPending
    onPendingChange?(index, isPending)
  }

  private func deliver(_ index: Int) {
    let vector = vectors[index]
    guard vector.isPending, gate == .open, !vector.isBusMasked, !vector.isClientMasked,
      !vector.isAutomasked, let trigger = vector.trigger
    else { return }
    if flags.contains(.automasked) { vector.isAutomasked = true }
    // A line stays pending for as long as it is asserted: its next UNMASK delivers it again.
    if !vector.isAsserted { setPending(index, false) }
    deliveredHere &+= 1
    trigger.event.signal()
  }

  /// Opens or shuts what other loops deliver through, after anything that it depends on has changed.
  private func updateDirectDelivery(_ index: Int) {
    let vector = vectors[index]
    guard let direct = vector.direct else { return }
    let isClear = gate == .open && !vector.isBusMasked && !vector.isClientMasked
    direct.open(isClear ? vector.trigger : nil)
  }

  private func unmask(_ index: Int) {
    vectors[index].isClientMasked = false
    vectors[index].isAutomasked = false
    updateDirectDelivery(index)
    deliver(index)
  }
}

// MARK: The client's side

extension InterruptSet {
  /// Carries out a SET_IRQS command.
  ///
  /// - Throws: `EINVAL` for a combination that the type does not have.
  func apply(
    _ request: SetIRQs, descriptors: inout ReceivedDescriptors
  ) throws(Errno) {
    guard !request.disablesAll else {
      guard descriptors.isEmpty else { throw .invalidArgument }
      return releaseAll()
    }
    let start = Int(request.start)
    let requested = Int(request.count)
    guard start <= count, requested <= count - start else { throw .invalidArgument }
    guard request.action == .trigger || flags.contains(.maskable) else { throw .invalidArgument }
    let range = start..<(start + requested)

    switch request.selection {
    case .all:
      guard descriptors.isEmpty else { throw .invalidArgument }
      for vector in range { act(request.action, vector) }
    case .flagged(let booleans):
      guard descriptors.isEmpty, booleans.count == range.count else { throw .invalidArgument }
      for (vector, isWanted) in zip(range, booleans) where isWanted != 0 {
        act(request.action, vector)
      }
    case .eventfds:
      guard flags.contains(.eventfd) else { throw .invalidArgument }
      try assign(request.action, range, &descriptors)
    }
  }

  private func act(_ action: SetIRQs.Action, _ vector: Int) {
    switch action {
    case .mask:
      vectors[vector].isClientMasked = true
      updateDirectDelivery(vector)
    case .unmask: unmask(vector)
    case .trigger: raise(vector)
    }
  }

  private func assign(
    _ action: SetIRQs.Action, _ range: Range<Int>, _ descriptors: inout ReceivedDescriptors
  ) throws(Errno) {
    guard descriptors.isEmpty || descriptors.count == range.count else { throw .invalidArgument }
    // All are checked before the first takes effect, so that a refused command changes nothing.
    var events: [EventDescriptorBox?] = []
    for place in range.indices {
      guard let descriptor = descriptors.take(at: place - range.lowerBound) else {
        events.append(nil)
        continue
      }
      events.append(EventDescriptorBox(try EventDescriptor(adopting: descriptor)))
    }
    for (vector, event) in zip(range, events) {
      switch action {
      case .trigger:
        vectors[vector].trigger = event
        if event == nil { vectors[vector].isAutomasked = false }
        updateDirectDelivery(vector)
        deliver(vector)
      case .mask: vectors[vector].onMask = event
      case .unmask where flags.contains(.automasked): try setResample(event, vector)
      case .unmask: vectors[vector].onUnmask = event
      }
    }
  }

  /// Lets the client's `event` unmask a line: the far end of KVM's resample irqfd.
  private func setResample(_ event: EventDescriptorBox?, _ index: Int) throws(Errno) {
    let vector = vectors[index]
    if let old = vector.resampleWatch { loop.unwatch(old) }
    vector.resampleWatch = nil
    vector.resample = event
    guard let event else { return }
    vector.resampleWatch = try loop.watch(event.event.rawValue, .readable) {
      [weak self, weak event] _ in
      guard event?.event.consume() != nil else { return }
      self?.unmask(index)
    }
  }

  /// Drops every descriptor of the client and its masks; the device's side stays as it is.
  func releaseAll() {
    for vector in vectors {
      // First: whoever delivers through it is done when this returns.
      vector.direct?.open(nil)
      if let watch = vector.resampleWatch { loop.unwatch(watch) }
      vector.resampleWatch = nil
      vector.resample = nil
      vector.trigger = nil
      vector.onMask = nil
      vector.onUnmask = nil
      vector.isClientMasked = false
      vector.isAutomasked = false
    }
  }
}
