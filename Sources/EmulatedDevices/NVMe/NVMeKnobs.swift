import DeviceModel

/// What can be configured about `nvme`.
enum NVMeKnobs {
  /// How doorbells reach the device.
  enum Doorbells: String, CaseIterable, Sendable {
    /// Mapped where the device polls all the time, else trapped.
    case auto
    /// Clients may map them; needs polling.
    case mapped
    /// Each is an access.
    case trapped
  }

  static let serial = Knob(
    "serial", default: "",
    """
    The serial number, at most 20 characters; empty takes one that follows from the files and exports it serves, or a \
    random one for memory alone. Namespaces get their identifiers from it, and controllers of one machine must differ in it.
    """
  )
  static let queues = Knob(
    "queues", default: 64, in: 1...64,
    "How many pairs of I/O queues a driver may make, each with an interrupt vector of its own.")
  static let queueDepth = Knob(
    "queue-depth", default: 4096, in: 2...65_536,
    "How many entries an I/O queue may have at most.")
  static let queueThreads = Knob(
    "queue-threads", default: 0, in: 0...64,
    """
    How many threads serve the I/O queues, which go to them by turns; 0 leaves all to the device's own thread, which \
    always serves the admin queue.
    """)
  static let doorbells = Knob(
    "doorbells", default: Doorbells.auto,
    """
    How doorbells arrive. mapped: clients may map their page, which takes --poll always, for nothing announces a store \
    there. trapped: by accesses, over descriptors or by messages. auto: mapped with --poll always, else trapped.
    """)
  static let blockSize = Knob(
    "block-size", defaultByteCount: 512, in: 512...4096,
    "The size of a block to begin with, 512 or 4K; Format NVM changes it.")
  static let transferShift = Knob(
    "mdts", default: 8, in: 1...9,
    "The most that a command moves (MDTS), as a power of two of 4 KiB: 8 is 1 MiB.")

  static let all: [any KnobDeclaration] = [
    serial, queues, queueDepth, queueThreads, doorbells, blockSize, transferShift,
  ]
}
