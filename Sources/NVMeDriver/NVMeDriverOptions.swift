/// How a driver takes a controller.
public struct NVMeDriverOptions: Sendable {
  /// The longest wait for a command of the driver's own, for the controller to change its state, and
  /// for each reply of the server. At least a millisecond.
  ///
  /// A call that finds neither the controller nor its server answering takes twice as long.
  public var timeout: Duration = .seconds(10)
  /// How doorbells are rung. A connection that is made elsewhere must take as many descriptors in a
  /// message as `ioregionfd` and `ioeventfd` need: one for each, two for each queue pair.
  public var doorbells: NVMeDoorbells = .auto
  /// How much memory there is for queues and data, in bytes.
  ///
  /// A queue pair takes about 4.2 KiB an entry: 80 bytes for the entries, a page for PRPs.
  public var memoryByteCount = 64 << 20
  /// Whether the device may map that memory.
  ///
  /// If not, it reaches the memory by messages, each checked here and answered by calls that wait or
  /// reap: far slower, and for one thread. Interrupts are not waited for then.
  public var sharesMemory = true
  /// How many entries the admin queues have: 2 to 4096; what lies outside is brought inside.
  public var adminEntryCount = 32

  /// Makes the default options.
  public init() {}
}
