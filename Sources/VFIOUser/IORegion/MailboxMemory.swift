import CVFIOUserLinux

/// The page that the two ends of a mailbox share, and every access to it.
///
/// ```
///   0  command   sequence (8)  info (4) padding (4)  user_data (8)  offset (8)  data (8)
/// 128  response  sequence (8)  data (8)
/// 256  the device sleeps (8): commands have to be announced by their eventfd
/// 384  the monitor sleeps (8): responses have to be announced by theirs
/// ```
///
/// Each line is written by one side alone: the monitor writes at 0 and 384, the device at 128 and 256. They
/// are two cache lines apart, because processors fetch lines in pairs. Fields are those of
/// `IORegionCommand` and `IORegionResponse`, in the host's byte order.
///
/// Commands are numbered from 1. A command is there when its sequence is one more than that of the last
/// one; it is taken, and where it wants a response answered, when the response's sequence equals its own.
/// So the two numbers say whose turn it is, and the monitor writes no command before the one before it is
/// taken. `closed` instead of a number says that the side has given the mailbox up.
///
/// Memory orderings: a sequence is stored after the fields of its line and loaded before them, storing
/// with release and loading with acquire ordering. So that nobody sleeps over work, four accesses are
/// sequentially consistent: whoever goes to sleep stores its flag and then loads the other's sequence;
/// whoever has work stores its sequence and then loads the other's flag. In the one order of the four, one
/// of the two comes to see the other.
///
/// The other side may write anything at any time: each field is loaded once, into a value that is checked
/// and used alone. Threads: any; the types at the two ends see to who may call what.
struct MailboxMemory: Sendable {
  /// The length in bytes: a page.
  static let byteCount: UInt64 = 4096
  /// The sequence of a side that has given up.
  static let closed = UInt64.max

  private enum Place {
    static let commandSequence = 0
    static let info = 8
    static let userData = 16
    static let offset = 24
    static let commandData = 32
    static let responseSequence = 128
    static let responseData = 136
    static let deviceSleeps = 256
    static let monitorSleeps = 384
  }

  private let memory: SharedMemory

  /// New memory, sealed: what the device makes.
  init() throws(Errno) {
    memory = try SharedMemory(byteCount: Int(Self.byteCount), name: "vfio-user mailbox")
  }

  /// Memory that the server sent.
  ///
  /// - Throws: `EINVAL` for what is no memory file, is too short, or is not sealed against shrinking.
  init(adopting descriptor: consuming OwnedDescriptor) throws(Errno) {
    guard cvfu_is_sealed_against_shrinking(descriptor.rawValue) else { throw .invalidArgument }
    var status = stat()
    // Safety: a local variable, for the time of the call.
    _ = try Errno.check(unsafe fstat(descriptor.rawValue, &status))
    guard status.st_size >= Int(Self.byteCount) else { throw .invalidArgument }
    memory = try SharedMemory(
      adopting: descriptor, offset: 0, byteCount: Self.byteCount, writable: true)
  }

  /// The memory file, for passing it to the other side. Never close it.
  var rawDescriptor: CInt { memory.rawDescriptor }

  /// Whether the kernel could not provide the page: both sides see zeros of their own since.
  var isLost: Bool { memory.isLost }

  // MARK: Commands, by the monitor

  /// Puts a command down and says so.
  @inline(__always)
  func send(_ command: IORegionCommand, sequence: UInt64) {
    // Relaxed: the store of the sequence releases them.
    memory.storeRelaxed(UInt64(command.info), at: Place.info)
    memory.storeRelaxed(command.userData, at: Place.userData)
    memory.storeRelaxed(command.offset, at: Place.offset)
    memory.storeRelaxed(command.data, at: Place.commandData)
    // Followed by `deviceSleeps`: one of the four accesses of the type's comment.
    memory.storeInOrder(sequence, at: Place.commandSequence)
  }

  /// Says that no command will come any more.
  func closeCommands() { memory.storeInOrder(Self.closed, at: Place.commandSequence) }

  /// Whether the device wants commands to be announced, after one was put down.
  @inline(__always)
  var deviceSleeps: Bool { memory.loadInOrder(at: Place.deviceSleeps) != 0 }

  // MARK: Commands, by the device

  /// The number of the last command.
  @inline(__always)
  var commandSequence: UInt64 { memory.loadAcquiring(at: Place.commandSequence) }

  /// The same, after the device has said that it sleeps.
  var commandSequenceAfterFlag: UInt64 { memory.loadInOrder(at: Place.commandSequence) }

  /// The command that `commandSequence` announced; each field is loaded once.
  ///
  /// - Throws: what `IORegionCommand` throws for one that means nothing.
  @inline(__always)
  func takeCommand() throws(WireError) -> IORegionCommand {
    // Relaxed: the load of the sequence has acquired them.
    let info = memory.loadRelaxed(at: Place.info)
    return try IORegionCommand(
      info: UInt32(truncatingIfNeeded: info), padding: UInt32(info >> 32),
      userData: memory.loadRelaxed(at: Place.userData),
      offset: memory.loadRelaxed(at: Place.offset),
      data: memory.loadRelaxed(at: Place.commandData))
  }

  /// Says whether the device sleeps.
  func setDeviceSleeps(_ sleeps: Bool) {
    // Falling asleep is one of the four accesses; a wake-up that is seen late costs a needless signal.
    if sleeps {
      memory.storeInOrder(1, at: Place.deviceSleeps)
    } else {
      memory.storeRelaxed(0, at: Place.deviceSleeps)
    }
  }

  // MARK: Responses, by the device

  /// Answers a command and says so.
  @inline(__always)
  func respond(_ data: UInt64, sequence: UInt64) {
    memory.storeRelaxed(data, at: Place.responseData)
    acknowledge(sequence)
  }

  /// Says that a command is taken, which wants no response.
  @inline(__always)
  func acknowledge(_ sequence: UInt64) {
    // Followed by `monitorSleeps`: one of the four accesses.
    memory.storeInOrder(sequence, at: Place.responseSequence)
  }

  /// Says that no command will be taken any more.
  func closeResponses() { memory.storeInOrder(Self.closed, at: Place.responseSequence) }

  /// Whether the monitor wants responses to be announced, after one was put down.
  @inline(__always)
  var monitorSleeps: Bool { memory.loadInOrder(at: Place.monitorSleeps) != 0 }

  // MARK: Responses, by the monitor

  /// The number of the last command that was taken.
  @inline(__always)
  var responseSequence: UInt64 { memory.loadAcquiring(at: Place.responseSequence) }

  /// The same, after the monitor has said that it sleeps.
  var responseSequenceAfterFlag: UInt64 { memory.loadInOrder(at: Place.responseSequence) }

  /// The data of the response that `responseSequence` announced.
  @inline(__always)
  var responseData: UInt64 { memory.loadRelaxed(at: Place.responseData) }

  /// Says whether the monitor sleeps; as `setDeviceSleeps`.
  func setMonitorSleeps(_ sleeps: Bool) {
    if sleeps {
      memory.storeInOrder(1, at: Place.monitorSleeps)
    } else {
      memory.storeRelaxed(0, at: Place.monitorSleeps)
    }
  }
}
