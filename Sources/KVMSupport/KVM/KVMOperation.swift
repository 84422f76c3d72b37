import VFIOUser

/// A call to the kernel that can fail, by the name that its documentation has.
///
/// Source: the kernel's Documentation/virt/kvm/api.rst.
public enum KVMOperation: String, Sendable, CaseIterable {
  /// Opening the device.
  case open = "open"
  /// Giving the signal of kicks a handler.
  case prepareKicks = "sigaction"
  case getAPIVersion = "KVM_GET_API_VERSION"
  case checkExtension = "KVM_CHECK_EXTENSION"
  case createMachine = "KVM_CREATE_VM"
  case setIdentityMapAddress = "KVM_SET_IDENTITY_MAP_ADDR"
  case setTaskStateAddress = "KVM_SET_TSS_ADDR"
  case createInterruptController = "KVM_CREATE_IRQCHIP"
  case setMemory = "KVM_SET_USER_MEMORY_REGION"
  case ioEvent = "KVM_IOEVENTFD"
  case interruptDescriptor = "KVM_IRQFD"
  case setLine = "KVM_IRQ_LINE"
  case signalMessage = "KVM_SIGNAL_MSI"
  case setRoutes = "KVM_SET_GSI_ROUTING"
  case createCPU = "KVM_CREATE_VCPU"
  case getMappingSize = "KVM_GET_VCPU_MMAP_SIZE"
  /// Mapping what a CPU shares with the kernel.
  case mapCPU = "mmap"
  case getIdentification = "KVM_GET_SUPPORTED_CPUID"
  case setIdentification = "KVM_SET_CPUID2"
  case getSpecialRegisters = "KVM_GET_SREGS"
  case setSpecialRegisters = "KVM_SET_SREGS"
  case getRegisters = "KVM_GET_REGS"
  case setRegisters = "KVM_SET_REGS"
  case setState = "KVM_SET_MP_STATE"
  case run = "KVM_RUN"

  /// What an error of this call usually means, where that is known.
  public func meaning(of errno: Errno) -> String? {
    switch (self, errno) {
    case (_, .noFunction): "this package uses KVM on x86-64 alone"
    case (.open, .noSuchFileOrDirectory): "the host has no KVM, or its module is not loaded"
    case (.open, .permissionDenied): "the user is not in the group of /dev/kvm"
    case (.open, .operationNotSupportedByDevice), (.open, .noSuchAddressOrDevice):
      "the processor has no virtualization, or it is switched off"
    case (.getAPIVersion, _): "not the interface that has been stable since Linux 2.6.22"
    case (.createMachine, .noMemory): "no memory for another machine"
    case (.createInterruptController, .fileExists): "the machine has one already"
    case (.createInterruptController, .invalidArgument): "made after the first CPU"
    case (.setMemory, .fileExists): "the guest's addresses overlap those of another slot"
    case (.setMemory, .invalidArgument):
      "an address or a length is no multiple of the page size, is zero, lies outside of the memory, "
        + "or there are too many slots"
    case (.setMemory, .noSuchFileOrDirectory): "no slot begins there"
    case (.ioEvent, .fileExists): "another ioeventfd takes this write already"
    case (.ioEvent, .noSuchFileOrDirectory): "no ioeventfd is just this one"
    case (.ioEvent, .invalidArgument):
      "a length other than 0, 1, 2, 4 and 8, a value to match without a length, or no eventfd"
    case (.ioEvent, .noSpace): "too many ioeventfds"
    case (.interruptDescriptor, .resourceBusy): "the eventfd raises another line already"
    case (.interruptDescriptor, .invalidArgument):
      "no eventfd, a line that no controller has, or a machine without controller"
    case (.interruptDescriptor, .operationNotSupportedByDevice), (.setLine, .noSuchAddressOrDevice):
      "the machine has no interrupt controller"
    case (.signalMessage, .invalidArgument), (.signalMessage, .noSuchAddressOrDevice):
      "the machine has no interrupt controller, or it knows no such destination"
    case (.setRoutes, .invalidArgument):
      "a line or pin that is out of range, two routes that exclude each other, or a machine without "
        + "controller"
    case (.createCPU, .fileExists): "the machine has a CPU of this number"
    case (.createCPU, .invalidArgument): "a number that is too high"
    case (.run, .badAddress):
      "the guest touched memory that cannot be used: its file was shrunk, or forbids writing"
    case (.run, .resourceBusy): "another thread runs this CPU"
    case (_, .badFileDescriptor): "a descriptor that is closed, or of the wrong kind"
    case (_, .tooManyOpenFiles): "no descriptor is left in this process"
    case (_, .noMemory): "the kernel has no memory for it"
    default: nil
    }
  }
}
