@testable import KVMSupport

/// A machine: a guest that accesses, a hypervisor if there is one, and the address space behind it.
final class DispatchMachine: Sendable {
  let hypervisor: StandInHypervisor?
  let space: AddressSpace
  let events = Observed<[AddressSpaceEvent]>([])

  init(_ hypervisor: StandInHypervisor? = nil) {
    self.hypervisor = hypervisor
    space = AddressSpace(hypervisor: hypervisor) { [events] event in
      events.update { $0.append(event) }
    }
  }

  func read(_ address: UInt64, _ byteCount: Int, _ space: GuestSpace = .memory) -> UInt64 {
    perform(.read(space, at: GuestAddress(address), byteCount: byteCount))
  }

  func write(
    _ value: UInt64, _ address: UInt64, _ byteCount: Int, _ space: GuestSpace = .memory
  ) {
    _ = perform(.write(value, space, at: GuestAddress(address), byteCount: byteCount))
  }

  private func perform(_ access: GuestAccess) -> UInt64 {
    if let handled = hypervisor?.handle(access) { return handled }
    var progress = AccessProgress()
    while true {
      if case .done(let value) = space.access(access, &progress) { return value }
    }
  }
}
