import KVMSupport
import VFIOUser

/// When this host's KVM says that a level interrupt has ended.
///
/// With the processor's help it says so when the guest ends the interrupt: not before the handler has had
/// its device let go. A KVM without that help (`kvm_pvm`) was seen to end an interrupt as it delivers it;
/// the device is asked while it still holds the pin, says so, and that is one more interrupt.
enum LevelEnds {
  /// Whether it is as it delivers.
  static let areEarly: Bool = (try? find()) ?? false

  /// Interrupts a guest, whose handler writes before it ends the interrupt: was the end told by then?
  private static func find() throws -> Bool {
    let machine = try AccessScriptMachine(kvm: KVM())
    let raise = try EventDescriptor()
    let ended = try EventDescriptor()
    try machine.machine.assign(
      InterruptDescriptor(line: 11, descriptor: raise.rawValue, resample: ended.rawValue))
    var script = AccessScript([.enableInterrupts])
    script.redirect(line: 11, to: 0x46)
    script.append(.onInterrupt(vector: 0x46, .write(at: registers, 1, byteCount: 4)))
    script.append(.write(.port, at: GuestAddress(0x600), 1, byteCount: 4))
    script.append(.awaitInterrupts(vector: 0x46, count: 1))
    var isEarly = false
    try machine.run(script) { _, exit in
      switch exit {
      case .portWrite: raise.signal()
      case .memoryWrite: isEarly = ended.consume() != nil
      case .interrupted: break
      default: return false
      }
      return true
    }
    return isEarly
  }
}
