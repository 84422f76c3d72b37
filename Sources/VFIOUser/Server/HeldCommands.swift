/// Commands that wait for one in progress while replies behind them in the stream are consumed.
///
/// Bounded: a client that goes on sending commands without end loses its connection.
struct HeldCommands {
  /// A command, copied out of the receive buffer.
  final class Command {
    let header: MessageHeader
    let payload: [UInt8]
    private var descriptors: ReceivedDescriptors

    init(
      _ header: MessageHeader, _ payload: RawSpan, _ descriptors: consuming ReceivedDescriptors
    ) {
      self.header = header
      self.payload = [UInt8](copying: payload)
      self.descriptors = descriptors
    }

    func takeDescriptors() -> ReceivedDescriptors { descriptors.moveAll() }
  }

  private var commands: [Command] = []
  private var byteCount = 0

  /// The most commands that may wait.
  static let maximumCount = 4096
  /// The most bytes of payload that may wait.
  static let maximumByteCount = 16 << 20

  @inline(__always)
  var isEmpty: Bool { commands.isEmpty }

  /// Whether a command of a common size finds room.
  var hasRoom: Bool {
    commands.count < Self.maximumCount && byteCount <= Self.maximumByteCount / 2
  }

  /// Puts a command behind the others; false when there is no room.
  mutating func append(
    _ header: MessageHeader, _ payload: RawSpan, _ descriptors: consuming ReceivedDescriptors
  ) -> Bool {
    guard commands.count < Self.maximumCount,
      commands.isEmpty || byteCount + payload.byteCount <= Self.maximumByteCount
    else { return false }
    byteCount += payload.byteCount
    commands.append(Command(header, payload, descriptors))
    return true
  }

  mutating func removeFirst() -> Command? {
    guard !commands.isEmpty else { return nil }
    let first = commands.removeFirst()
    byteCount -= first.payload.count
    return first
  }

  mutating func removeAll() {
    commands = []
    byteCount = 0
  }
}
