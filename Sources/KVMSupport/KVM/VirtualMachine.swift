import CKVMLinux
import Synchronization
import VFIOUser

/// A virtual machine of KVM's: memory, interrupt lines, and CPUs made by ``makeCPU(_:)``.
///
/// It ends when nobody holds it or one of its CPUs.
///
/// Threads: any.
/// Source: the kernel's Documentation/virt/kvm/api.rst.
public final class VirtualMachine: Sendable {
  /// Where the pages lie that KVM takes for itself: no memory or device may be there.
  public static let reservedAddresses = GuestAddress(0xfeff_c000)...GuestAddress(0xfeff_ffff)

  /// What the machine was made with.
  public let kvm: KVM
  let descriptor: OwnedDescriptor
  let slots: Guarded<SlotTable>
  private let controller = Atomic<Bool>(false)

  /// Makes a machine without memory, CPUs and interrupt controller.
  ///
  /// - Throws: what `KVM_CREATE_VM` says; `ENOMEM`, `EMFILE`.
  public init(kvm: KVM) throws(KVMError) {
    self.kvm = kvm
    let raw = try KVMError.check(
      ckvm_create_machine(kvm.descriptor.rawValue), .createMachine)
    descriptor = OwnedDescriptor(adopting: raw)
    slots = Guarded(SlotTable(limit: kvm.count(of: .memorySlots)))
    // Processors that cannot run real mode by themselves need these pages; others ignore them.
    let first = Self.reservedAddresses.lowerBound.rawValue
    _ = try KVMError.check(
      ckvm_set_identity_map_address(raw, first), .setIdentityMapAddress)
    _ = try KVMError.check(ckvm_set_tss_address(raw, first + 0x1000), .setTaskStateAddress)
  }

  // MARK: CPUs

  /// Makes a CPU.
  ///
  /// - Parameter index: its number, which is also its local APIC's; each can be made once.
  /// - Throws: `EEXIST`, or `EINVAL` for a number that is too high.
  public func makeCPU(_ index: Int) throws(KVMError) -> VirtualCPU {
    guard let number = UInt32(exactly: index), number <= 0xff else {
      throw KVMError(.createCPU, .invalidArgument, "CPU \(index)")
    }
    return try VirtualCPU(machine: self, index: number)
  }

  // MARK: Interrupts

  /// Whether the machine has an interrupt controller.
  public var hasInterruptController: Bool { controller.load(ordering: .acquiring) }

  /// Gives the machine a PC's interrupt controller, in the kernel: a local APIC for each CPU, an
  /// I/O APIC and two 8259s. Before the first CPU is made.
  ///
  /// A CPU that halts sleeps in the kernel from then on, and does not exit.
  /// - Throws: `EEXIST` when it has one, `EINVAL` when it has a CPU.
  public func createInterruptController() throws(KVMError) {
    _ = try KVMError.check(
      ckvm_create_interrupt_controller(descriptor.rawValue), .createInterruptController)
    controller.store(true, ordering: .releasing)
  }

  /// Says where each line goes, in place of what was said before.
  ///
  /// - Throws: `EINVAL`, for a machine without controller as well.
  public func setRoutes(_ routes: [InterruptRoute]) throws(KVMError) {
    let raw = routes.map(\.raw)
    // Safety: the array lives during the call, and has as many elements as it says.
    let result = unsafe raw.withUnsafeBufferPointer { routes in
      unsafe ckvm_set_routes(descriptor.rawValue, routes.baseAddress, routes.count)
    }
    _ = try KVMError.check(result, .setRoutes, "\(routes.count) routes")
  }

  /// Makes an eventfd raise a line.
  ///
  /// - Throws: `EBUSY` when it raises one already, `EINVAL`.
  public func assign(_ interrupt: InterruptDescriptor) throws(KVMError) {
    let result = ckvm_interrupt_descriptor(
      descriptor.rawValue, interrupt.descriptor, true, interrupt.line, interrupt.resample ?? -1)
    _ = try KVMError.check(result, .interruptDescriptor, "line \(interrupt.line)")
  }

  /// Ends what `assign` began. After it the line is no longer raised; the kernel tells of no
  /// mistake.
  ///
  /// - Throws: `EBADF` or `EINVAL` when the descriptor is no open eventfd.
  public func deassign(_ interrupt: InterruptDescriptor) throws(KVMError) {
    let result = ckvm_interrupt_descriptor(
      descriptor.rawValue, interrupt.descriptor, false, interrupt.line, -1)
    _ = try KVMError.check(result, .interruptDescriptor, "line \(interrupt.line)")
  }

  /// Raises or lowers a line. An edge is one after the other.
  ///
  /// - Throws: `ENXIO` when the machine has no interrupt controller.
  public func setLine(_ line: UInt32, _ isAsserted: Bool) throws(KVMError) {
    _ = try KVMError.check(
      ckvm_set_line(descriptor.rawValue, line, isAsserted), .setLine, "line \(line)")
  }

  /// Sends an interrupt as a message, at once and without a line.
  ///
  /// - Returns: whether a CPU took it.
  /// - Throws: what `KVM_SIGNAL_MSI` says; `EINVAL` when the machine has no interrupt controller.
  @discardableResult
  public func signalMessage(address: UInt64, data: UInt32) throws(KVMError) -> Bool {
    let result = ckvm_signal_message(descriptor.rawValue, address, data)
    return try KVMError.check(
      result, .signalMessage, "address \(GuestAddress(address)), data \(data)") > 0
  }
}
