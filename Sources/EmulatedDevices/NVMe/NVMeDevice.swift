import BlockStorage
import DeviceModel

/// An NVMe controller: disks that operating systems drive without a driver of ours.
///
/// Each `--namespace` of the command line is a namespace. I/O queues may have threads of their own.
///
/// Source: NVMe 1.4; Copy: NVM Command Set 1.0.
public final class NVMeDevice: PCIDevice {
  /// What is known of `nvme` before one is made.
  public static let declaration = PCIDeviceDeclaration(
    name: "nvme", summary: "An NVMe 1.4 controller.",
    discussion: """
      A disk controller that Linux, UEFI firmware and SPDK drive with the drivers they have. Each --namespace is a \
      namespace, numbered from 1 in the order of the command line. Data goes straight between guest memory and \
      the storage where the guest's memory is shared.

      Doorbells arrive as accesses: with their values over a descriptor of their own (an ioregionfd), where the \
      client can do that, and nobody waits for them; else by messages. With queue-threads each thread's queues have \
      one. Once a driver has set up shadow doorbells (Doorbell Buffer Config), an eventfd takes the place of the \
      value, until the next reset. With --poll always a client may map their page instead: a command then takes no \
      message, and each thread that serves queues keeps a processor busy.

      Commands of I/O queues: Read, Write, Flush, Compare, Write Zeroes, Write Uncorrectable, Dataset Management \
      (Deallocate), Verify, and Copy; data by PRPs or SGLs, FUA. Admin commands: Identify, Get and Set Features, Get \
      Log Page, creation and deletion of queues, Abort, Asynchronous Event Request, Keep Alive, Doorbell Buffer \
      Config, and Format NVM, for blocks of 512 or 4096 bytes. There are no metadata, no fused commands, and no controller memory \
      buffer.
      """,
    knobs: NVMeKnobs.all,
    backend: .storages(
      atLeast: 1, atMost: 1024, "What the namespaces keep their blocks in, one each."),
    hardware: NVMeHardware.describe)

  private let controller: NVMeController

  /// Makes the device in its state after power-on.
  ///
  /// - Throws: `KnobError` for a storage whose blocks are longer than `block-size`, for one that
  ///   takes a single connection where there are `queue-threads`, and for `doorbells=mapped` on a
  ///   loop that does not always poll.
  public init(_ function: PCIFunction) throws {
    let knobs = function.knobs
    let storages = function.backend(as: StorageSet.self)?.storages ?? []
    for storage in storages { try Self.check(storage, knobs) }
    let mode = try Self.doorbellMode(knobs[NVMeKnobs.doorbells], function.loop.polling)
    let serial =
      knobs[NVMeKnobs.serial].isEmpty ? SerialNumber.make(for: storages) : knobs[NVMeKnobs.serial]
    let namespaces = NamespaceTable(
      storages, blockByteCount: knobs[NVMeKnobs.blockSize], serial: serial)
    controller = try NVMeController(
      function, namespaces: namespaces,
      settings: ControllerSettings(
        serialNumber: serial, queueCount: knobs[NVMeKnobs.queues],
        threadCount: knobs[NVMeKnobs.queueThreads], doorbells: mode,
        limits: TransferLimits(transferShift: UInt8(knobs[NVMeKnobs.transferShift]))))
    function.logger.notice(
      "nvme: doorbells \(mode.description), \(namespaces.all.count) namespaces")
  }

  /// Refuses a storage that would fail its commands.
  private static func check(_ storage: any BlockStorage, _ knobs: KnobValues) throws {
    let unit = storage.traits.blockByteCount
    guard unit <= Int(knobs[NVMeKnobs.blockSize]) else {
      throw KnobError(
        code: .outOfRange,
        description: "nvme: \(storage.name) takes whole blocks of \(unit) bytes: set block-size")
    }
    guard storage.traits.allowsManyChannels || knobs[NVMeKnobs.queueThreads] == 0 else {
      throw KnobError(
        code: .outOfRange,
        description:
          "nvme: the server of \(storage.name) takes one connection alone: leave queue-threads out")
    }
  }

  /// Nothing announces a store to a mapped page: mapping takes a loop that always looks.
  private static func doorbellMode(
    _ wish: NVMeKnobs.Doorbells, _ polling: PollingMode
  ) throws -> DoorbellMode {
    switch wish {
    case .trapped: return .trapped
    case .auto: return polling == .always ? .mapped : .trapped
    case .mapped:
      guard polling == .always else {
        throw KnobError(
          code: .outOfRange,
          description:
            "nvme: doorbells=mapped needs --poll always: nothing announces a mapped doorbell")
      }
      return .mapped
    }
  }

  /// Back to the state after power-on; the registers are there already.
  public func reset(_ kind: ResetKind) { controller.reset() }

  /// Fetches no more commands, and says when those that were fetched are done.
  public func quiesce(_ reason: QuiesceReason, _ completion: QuiesceCompletion) -> Quiescence {
    controller.quiesce(reason, completion)
  }

  /// Goes on fetching.
  public func resume() { controller.resume() }

  /// Bus mastering may be on again.
  public func configurationWritten(_ range: Range<Int>) { controller.queues.ring() }
}
