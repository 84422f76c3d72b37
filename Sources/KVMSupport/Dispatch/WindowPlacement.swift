import VFIOUser

/// A window at its place, and what it gave to the hypervisor.
struct WindowPlacement {
  let window: RegionWindow
  let layout: WindowLayout
  let space: GuestSpace
  let address: UInt64
  private(set) var slots: [GuestAddress] = []
  private(set) var assigned: [IOEvent] = []
  /// The events that the monitor matches itself.
  private(set) var ownEvents: [AddressMap.Event] = []
  private(set) var regions: [IORegionAssignment] = []
  private(set) var fallbacks: [RegionFallback] = []

  /// The last address, or nil when the window leaves the space or is empty.
  static func last(_ space: GuestSpace, _ address: GuestAddress, _ byteCount: UInt64) -> UInt64? {
    guard byteCount > 0 else { return nil }
    let (last, overflow) = address.rawValue.addingReportingOverflow(byteCount - 1)
    return overflow || last > space.last.rawValue ? nil : last
  }

  var last: UInt64 { address + (window.byteCount - 1) }

  /// Hands over what the hypervisor, or the table of ports, can take; the rest causes exits.
  init(
    _ window: RegionWindow, in space: GuestSpace, at address: GuestAddress,
    _ hypervisor: (any Hypervisor)?, _ provider: any IORegionProvider
  ) {
    self.window = window
    self.space = space
    self.address = address.rawValue
    layout = window.layout
    for part in layout.parts {
      if part.part.path == .mapped, let hypervisor { show(part.part, hypervisor) }
      if part.part.port != nil { route(part.part, provider) }
    }
    for event in layout.events { assign(event, hypervisor) }
  }

  /// Takes everything back. What is gone already is none of our business.
  func withdraw(_ hypervisor: (any Hypervisor)?, _ provider: any IORegionProvider) {
    for event in assigned { try? hypervisor?.deassign(event) }
    for region in regions {
      var region = region
      region.port = nil
      try? provider.set(region)
    }
    for slot in slots { try? hypervisor?.removeMemory(at: slot) }
  }

  private mutating func show(_ part: RegionPart, _ hypervisor: any Hypervisor) {
    guard space == .memory, let memory = part.memory else { return }
    let slot = MemorySlot(
      address: GuestAddress(address + part.offset.rawValue), memory: memory,
      memoryOffset: part.memoryOffset, byteCount: part.byteCount,
      isReadOnly: !window.region.info.flags.contains(.write))
    do {
      try hypervisor.addMemory(slot)
      slots.append(slot.address)
    } catch {
      note(part.offset, part.byteCount, "mapped without exits", error)
    }
  }

  private mutating func route(_ part: RegionPart, _ provider: any IORegionProvider) {
    guard let port = part.port else { return }
    let postsWrites =
      switch part.path {
      case .ioregionfd(let postsWrites), .mailbox(let postsWrites): postsWrites
      case .message, .postedMessage, .mapped, .monitor: false
      }
    let region = IORegionAssignment(
      space: space, address: GuestAddress(address + part.offset.rawValue),
      byteCount: part.byteCount, userData: part.userData, port: port, postsWrites: postsWrites)
    do {
      try provider.set(region)
      regions.append(region)
    } catch {
      note(part.offset, part.byteCount, part.path.description, error)
    }
  }

  private mutating func assign(_ event: RegionEvent, _ hypervisor: (any Hypervisor)?) {
    let io = event.event(in: space, at: address)
    if let hypervisor {
      do {
        try hypervisor.assign(io)
        return assigned.append(io)
      } catch {
        note(event.offset, UInt64(event.byteCount), "ioeventfd without exits", error)
      }
    }
    ownEvents.append(
      AddressMap.Event(
        event: io, signal: event.signal, part: layout.part(at: event.offset.rawValue)))
  }

  private mutating func note(
    _ offset: RegionOffset, _ byteCount: UInt64, _ wish: String, _ errno: Errno
  ) {
    fallbacks.append(
      RegionFallback(
        offset.rawValue, byteCount, wish, errno, "it was refused: \(errno)"))
  }

  /// The entries of the map.
  var entries: [AddressMap.Entry] {
    layout.parts.map { part in
      let start = address + part.part.offset.rawValue
      return AddressMap.Entry(
        start: start, last: start + (part.part.byteCount - 1), base: address,
        target: .part(part, window))
    }
  }

  /// The part whose path a range of a port is.
  func part(of region: IORegionAssignment) -> WindowPart? {
    guard region.space == space, region.address.rawValue >= address,
      region.address.rawValue <= last
    else { return nil }
    let offset = region.address.rawValue - address
    guard let part = layout.part(at: offset), part.part.port === region.port,
      part.part.offset.rawValue == offset
    else { return nil }
    return part
  }
}
