import CKVMLinux

/// Where a line of a machine goes.
///
/// A machine starts with ``standard``, and each setting replaces the whole table: add to that.
/// Source: `KVM_SET_GSI_ROUTING`.
public struct InterruptRoute: Hashable, Sendable {
  /// One of the controllers that the kernel makes.
  public enum Controller: UInt32, Sendable {
    /// The 8259 with pins 0 to 7.
    case primary8259 = 0
    /// The 8259 with pins 8 to 15, numbered 0 to 7.
    case secondary8259 = 1
    /// The I/O APIC, pins 0 to 23.
    case ioAPIC = 2
  }

  /// A destination.
  public enum Target: Hashable, Sendable {
    /// A controller's input.
    case pin(Controller, UInt32)
    /// A message to local APICs, as a device writes it for MSI.
    case message(address: UInt64, data: UInt32)
  }

  /// The line ("GSI"). A line may go to one message, or to one pin of each controller.
  public var line: UInt32
  /// Where it goes.
  public var target: Target

  /// Makes a route; nothing is checked.
  public init(line: UInt32, to target: Target) {
    self.line = line
    self.target = target
  }

  /// The lines 0 to 15 at both kinds of controllers, as in a PC, and 16 to 23 at the I/O APIC.
  public static let standard: [InterruptRoute] = (UInt32(0)..<24).flatMap { line in
    let apic = InterruptRoute(line: line, to: .pin(.ioAPIC, line))
    switch line {
    case 0..<8: return [InterruptRoute(line: line, to: .pin(.primary8259, line)), apic]
    case 8..<16: return [InterruptRoute(line: line, to: .pin(.secondary8259, line - 8)), apic]
    default: return [apic]
    }
  }

  /// The message that raises `vector` at the local APIC of a CPU, once (edge-triggered).
  ///
  /// Source: Intel SDM, volume 3, "Message Address Register Format" and "Message Data Register Format".
  public static func message(vector: UInt8, cpu: UInt8 = 0) -> Target {
    .message(address: 0xfee0_0000 | UInt64(cpu) << 12, data: UInt32(vector))
  }

  /// As the shim takes it.
  var raw: ckvm_route {
    var raw = ckvm_route()
    raw.line = line
    switch target {
    case .pin(let controller, let pin):
      raw.controller = controller.rawValue
      raw.pin = pin
    case .message(let address, let data):
      raw.is_message = true
      raw.address = address
      raw.data = data
    }
    return raw
  }
}
