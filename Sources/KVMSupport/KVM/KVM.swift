import CKVMLinux
import VFIOUser

/// The kernel's virtualization: what machines are made of.
///
/// Threads: any.
public final class KVM: Sendable {
  /// Something that a kernel may or may not have.
  public enum Capability: Sendable, CaseIterable {
    /// How many memory slots a machine may have.
    case memorySlots
    /// How many CPUs a machine may have.
    case cpus
    /// Memory that the guest cannot write to.
    case readOnlyMemory
    /// The interrupt controller in the kernel.
    case interruptController
    /// A table of where each line goes.
    case interruptRouting
    /// eventfds that raise lines.
    case interruptDescriptors
    /// eventfds that are signalled when a level interrupt has ended.
    case resampling
    /// eventfds that a guest's write signals.
    case ioEvents
    /// Such eventfds for a write of any length.
    case ioEventsOfAnyLength
    /// Interrupts as messages without an eventfd.
    case messages
    /// A CPU's run that ends at once when it is asked to.
    case immediateExit

    var number: ckvm_capability {
      switch self {
      case .memorySlots: CKVM_NR_MEMSLOTS
      case .cpus: CKVM_MAX_VCPUS
      case .readOnlyMemory: CKVM_READONLY_MEM
      case .interruptController: CKVM_IRQCHIP
      case .interruptRouting: CKVM_IRQ_ROUTING
      case .interruptDescriptors: CKVM_IRQFD
      case .resampling: CKVM_IRQFD_RESAMPLE
      case .ioEvents: CKVM_IOEVENTFD
      case .ioEventsOfAnyLength: CKVM_IOEVENTFD_ANY_LENGTH
      case .messages: CKVM_SIGNAL_MSI
      case .immediateExit: CKVM_IMMEDIATE_EXIT
      }
    }
  }

  /// Where the device is.
  public static let standardPath = "/dev/kvm"

  let descriptor: OwnedDescriptor

  /// Opens the device and checks that it is the interface that this package speaks.
  ///
  /// - Throws: an error of `open` (no device, no right to use it), or `KVM_GET_API_VERSION` with `ENOTSUP`
  ///   for another interface.
  public init(path: String = KVM.standardPath) throws(KVMError) {
    // Safety: the path is a C string for the time of the call.
    let raw = unsafe ckvm_open(path)
    descriptor = OwnedDescriptor(adopting: try KVMError.check(raw, .open, path))
    let version = try KVMError.check(ckvm_api_version(descriptor.rawValue), .getAPIVersion)
    guard version == 12, count(of: .immediateExit) > 0 else {
      throw KVMError(.getAPIVersion, .notSupported, "version \(version)")
    }
    _ = try KVMError.check(ckvm_prepare_kicks(), .prepareKicks)
  }

  /// Whether there is a KVM that this process may use.
  public static var isAvailable: Bool { (try? KVM()) != nil }

  /// How many there are of what is counted; 1 for what is there; 0 for what is not.
  public func count(of capability: Capability) -> Int {
    max(0, Int(ckvm_check(descriptor.rawValue, capability.number)))
  }
}
