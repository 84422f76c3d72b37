/// A device behind a PCI function: the behaviour of the hardware that its declaration describes.
///
/// A device declares its hardware and answers accesses; it never sees a socket, a message or an
/// address of its process.
/// The package makes it on its event loop, calls it there only, and keeps it across clients.
///
/// ```swift
/// public final class Blinker: PCIDevice {
///   public static let declaration = PCIDeviceDeclaration(name: "blinker", summary: "One light.") {
///   _ in
///     PCIHardware(
///       identity: PCIIdentity(vendor: 0x1234, device: 0x0001),
///       bars: [BAR(0, .memory32, byteCount: 4096, [try .registers(BlinkerRegister.self)])])
///   }
///   private let registers: RegisterBlock<BlinkerRegister>
///
///   public init(_ function: PCIFunction) throws {
///     registers = try function.registers(BlinkerRegister.self)
///   }
///
///   public func reset(_ kind: ResetKind) {}
/// }
/// ```
public protocol PCIDevice: AnyObject {
  /// The device's name, its knobs, and the hardware that they give.
  static var declaration: PCIDeviceDeclaration { get }

  /// Makes the device in its state after power-on.
  ///
  /// Registers, memory and knobs can be used at once; guest memory and the clock from the first
  /// access on. Keep the function `unowned`: it owns the device.
  /// - Throws: any error that says why the device cannot work, such as a backend that is missing.
  init(_ function: PCIFunction) throws

  /// Puts the device's own state back to that after power-on.
  ///
  /// Configuration space, register blocks and interrupts have been reset already, scheduled work is
  /// cancelled, and no access or DMA is in flight.
  func reset(_ kind: ResetKind)

  /// Stops everything that a guest could notice, until ``resume()``.
  ///
  /// Scheduled work waits until then by itself, and so do DMA requests in flight; a device with
  /// threads or host I/O of its own stops them here.
  /// - Returns: `.done`, or `.notYet` when the device calls `completion.done()` later, from any
  ///   thread.
  func quiesce(_ reason: QuiesceReason, _ completion: QuiesceCompletion) -> Quiescence

  /// The device may work again after a ``quiesce(_:_:)``.
  func resume()

  /// A client has connected.
  func clientConnected()

  /// The client is gone; its memory and interrupts with it. The device's state stays.
  func clientDisconnected()

  /// The client has granted a range of its memory.
  func memoryMapped(_ range: DMARange)

  /// The client has taken a range of its memory back.
  func memoryUnmapped(_ range: DMARange)

  /// A driver has written to configuration space.
  ///
  /// Called after the write took effect, for devices with a vendor capability. Its bytes are in
  /// ``PCIFunction/configuration``.
  func configurationWritten(_ range: Range<Int>)
}

extension PCIDevice {
  /// Nothing to stop.
  public func quiesce(_ reason: QuiesceReason, _ completion: QuiesceCompletion) -> Quiescence {
    .done
  }
  /// Nothing to do.
  public func resume() {}
  /// Nothing to do.
  public func clientConnected() {}
  /// Nothing to do.
  public func clientDisconnected() {}
  /// Nothing to do.
  public func memoryMapped(_ range: DMARange) {}
  /// Nothing to do.
  public func memoryUnmapped(_ range: DMARange) {}
  /// Nothing to do.
  public func configurationWritten(_ range: Range<Int>) {}
}
