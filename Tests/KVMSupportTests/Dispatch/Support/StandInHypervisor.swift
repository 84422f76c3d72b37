import CVFIOUserLinux
@testable import KVMSupport
import VFIOUser

/// A hypervisor of the test's: it takes accesses over as KVM would, on the thread of the vCPU.
final class StandInHypervisor: Hypervisor {
  struct State: Sendable {
    var slots: [MemorySlot] = []
    var events: [IOEvent] = []
    /// What was done, in order, for people.
    var log: [String] = []
    /// How many accesses it handled by itself.
    var handledCount = 0
  }

  let state = Observed(State())
  /// What it says to each `addMemory` and `assign`, if anything.
  let refusal = Observed<Errno?>(nil)
  /// Set: the kernel has `KVM_SET_IOREGION`.
  let table: IORegionTable?

  init(providesRegions: Bool = false) {
    table = providesRegions ? IORegionTable() : nil
  }

  var ioRegionProvider: (any IORegionProvider)? { table }

  func addMemory(_ slot: MemorySlot) throws(Errno) {
    if let errno = refusal.value { throw errno }
    let failure = state.update { state -> Errno? in
      let page: UInt64 = 4096
      guard slot.address.rawValue % page == 0, slot.byteCount % page == 0,
        slot.memoryOffset % page == 0, slot.byteCount > 0
      else { return .invalidArgument }
      let isTaken = state.slots.contains {
        $0.address.rawValue < slot.address.rawValue + slot.byteCount
          && slot.address.rawValue < $0.address.rawValue + $0.byteCount
      }
      guard !isTaken else { return .fileExists }
      state.slots.append(slot)
      state.log.append("add \(slot.address)")
      return nil
    }
    if let failure { throw failure }
  }

  func removeMemory(at address: GuestAddress) throws(Errno) {
    let isFound = state.update { state in
      let count = state.slots.count
      state.slots.removeAll { $0.address == address }
      state.log.append("remove \(address)")
      return state.slots.count < count
    }
    if !isFound { throw .noSuchFileOrDirectory }
  }

  func assign(_ event: IOEvent) throws(Errno) {
    if let errno = refusal.value { throw errno }
    let isFree = state.update { state in
      guard !state.events.contains(where: { $0.collides(with: event) }) else { return false }
      state.events.append(event)
      state.log.append("assign \(event.address)")
      return true
    }
    if !isFree { throw .fileExists }
  }

  func deassign(_ event: IOEvent) throws(Errno) {
    let isFound = state.update { state in
      let count = state.events.count
      state.events.removeAll { $0 == event }
      state.log.append("deassign \(event.address)")
      return state.events.count < count
    }
    if !isFound { throw .noSuchFileOrDirectory }
  }

  /// Handles an access without an exit, if it can; an access in a slot is the memory's.
  func handle(_ access: GuestAccess) -> UInt64? {
    let now = state.value
    if access.space == .memory,
      let slot = now.slots.first(where: {
        access.address >= $0.address
          && access.address.rawValue - $0.address.rawValue < $0.byteCount
      }), access.value == nil || !slot.isReadOnly
    {
      state.update { $0.handledCount += 1 }
      let offset = access.address.rawValue - slot.address.rawValue + slot.memoryOffset
      return try? slot.memory.access(
        at: Int(offset), byteCount: access.byteCount, value: access.value)
    }
    if let value = access.value,
      let event = now.events.first(where: {
        $0.space == access.space
          && $0.matches(access.address, value, byteCount: access.byteCount)
      })
    {
      state.update { $0.handledCount += 1 }
      var one: UInt64 = 1
      _ = CVFIOUserLinux.write(event.descriptor, &one, 8)
      return 0
    }
    return handleRegion(access)
  }

  private func handleRegion(_ access: GuestAccess) -> UInt64? {
    guard
      let region = table?.regions(in: access.space).first(where: {
        access.address >= $0.address
          && access.address.rawValue - $0.address.rawValue < $0.byteCount
      }), let port = region.port
    else { return nil }
    let offset = access.address.rawValue - region.address.rawValue
    let command: IORegionCommand =
      if let value = access.value {
        .write(
          value, at: offset, byteCount: access.byteCount, userData: region.userData,
          isPosted: region.postsWrites)
      } else {
        .read(at: offset, byteCount: access.byteCount, userData: region.userData)
      }
    var progress = IORegionProgress()
    while true {
      switch port.perform(command, &progress) {
      case .done(let data):
        state.update { $0.handledCount += 1 }
        return data
      case .interrupted: continue
      case .failed:
        table?.drop(port)
        return nil
      }
    }
  }
}
