import DeviceModel

/// A serial port on PCI: a 16550A in an I/O window, as QEMU's `pci-serial` is.
///
/// Linux's `8250_pci` binds it. The port itself is ``UART16550``; here is only what PCI adds.
///
/// Source: QEMU, `docs/specs/pci-serial.rst`.
public final class SerialDevice: PCIDevice {
  /// What is known of `serial` before one is made.
  public static let declaration = PCIDeviceDeclaration(
    name: "serial", summary: "A 16550A serial port.",
    discussion: """
      One serial port behind an I/O window, with 16-byte FIFOs, modem lines and the interrupts of the original. \
      Characters pass as fast as the host takes them, whatever the baud rate. While the host is slow THRE stays clear, \
      so nothing is lost; a driver that writes all the same has room for 16 characters, and what exceeds them is dropped. \
      DCD, DSR and CTS show whether somebody is at the other end; output without anybody there is gone.
      """,
    knobs: SerialKnobs.all,
    backend: BackendRequirement(
      kind: "character", "What is sent goes there, and what comes from there is received."),
    hardware: SerialHardware.describe)

  /// The serial port itself.
  let uart: UART16550

  /// Makes the device in its state after power-on.
  ///
  /// - Throws: nothing with a function of this declaration.
  public init(_ function: PCIFunction) throws {
    let interrupt = InterruptLine()
    function.connect(interrupt)
    let clock = DeviceClock { [unowned function] delay, work in
      let scheduled = function.after(delay, work)
      return { scheduled.cancel() }
    }
    uart = UART16550(
      registers: try function.registers(UART16550Register.self), interrupt: interrupt,
      port: function.backend(as: CharacterPort.self) ?? CharacterPort(), clock: clock,
      lineStatusWait: .milliseconds(function.knobs[SerialKnobs.lineStatusWait]))
  }

  /// Back to the state after power-on.
  public func reset(_ kind: ResetKind) { uart.reset() }

  /// Takes nothing from the host until it may go on.
  public func quiesce(_ reason: QuiesceReason, _ completion: QuiesceCompletion) -> Quiescence {
    uart.pause()
    return .done
  }

  /// Goes on.
  public func resume() { uart.resume() }
}
