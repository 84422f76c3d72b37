/// The hardware of one PCI function: everything that a driver can discover about it.
///
/// A device returns it from its declaration, made from its knobs, and the package does the rest:
/// configuration space, windows that size correctly, the capability chain, interrupt routing and
/// resets.
///
/// ```swift
/// PCIHardware(
///   identity: PCIIdentity(vendor: 0x1234, device: 0x11e8, revision: 0x10),
///   bars: [BAR(0, .memory32, byteCount: 1 << 20, [.registers(EduRegister.self)])],
///   interrupts: PCIInterrupts(pin: .a, msi: .init(vectorCount: 1)))
/// ```
public struct PCIHardware: Sendable {
  /// Who the function says it is.
  public var identity: PCIIdentity
  /// Its windows.
  public var bars: [BAR]
  /// The interrupts it can signal.
  public var interrupts: PCIInterrupts
  /// Its capabilities but MSI and MSI-X, in the order of the chain.
  public var capabilities: [PCICapability]
  /// Its capabilities in extended configuration space, in the order of the chain.
  public var extendedCapabilities: [PCIExtendedCapability]
  /// Its expansion ROM, if any.
  public var expansionROM: PCIExpansionROM?
  /// The size of its configuration space.
  public var configurationSpace: ConfigurationSpaceSize

  /// Describes a function. What is left out is absent.
  public init(
    identity: PCIIdentity, bars: [BAR], interrupts: PCIInterrupts = .none,
    capabilities: [PCICapability] = [], extendedCapabilities: [PCIExtendedCapability] = [],
    expansionROM: PCIExpansionROM? = nil,
    configurationSpace: ConfigurationSpaceSize = .conventional
  ) {
    self.identity = identity
    self.bars = bars
    self.interrupts = interrupts
    self.capabilities = capabilities
    self.extendedCapabilities = extendedCapabilities
    self.expansionROM = expansionROM
    self.configurationSpace = configurationSpace
  }

  /// The two sizes of configuration space.
  public enum ConfigurationSpaceSize: Int, Hashable, Sendable, CaseIterable {
    /// 256 bytes: conventional PCI.
    case conventional = 256
    /// 4096 bytes: PCI Express.
    case extended = 4096
  }

  /// The BAR with the given index, or `nil`.
  public func bar(_ index: Int) -> BAR? { bars.first { $0.index == index } }

  /// The PCI Express capability, if it is declared.
  var pciExpress: PCIExpress? {
    for capability in capabilities {
      if case .pciExpress(let express) = capability.kind { return express }
    }
    return nil
  }

  /// The power management capability, if it is declared.
  var powerManagement: PCIPowerManagement? {
    for capability in capabilities {
      if case .powerManagement(let power) = capability.kind { return power }
    }
    return nil
  }
}
