import DeviceModel
import VFIOUser

/// A pseudo-terminal: the device is at the near side, and whoever opens ``path`` at the far one.
///
/// Connected while somebody has the path open. Nothing tells when that begins, so it is looked at
/// from time to time.
final class PseudoTerminalBackend: CharacterBackend {
  /// The far side.
  let path: String
  var name: String { "pty:\(path)" }
  private let stream: HostStream
  private let loop: EventLoop
  private var channel: StreamChannel?
  private weak var port: CharacterPort?
  private var isStarted = false

  private static let lookInterval = Duration.milliseconds(200)

  init(loop: EventLoop) throws(Errno) {
    (stream, path) = try HostStream.pseudoTerminal()
    self.loop = loop
  }

  func start(for port: CharacterPort) {
    self.port = port
    isStarted = true
    look()
  }

  func stop() {
    isStarted = false
    channel?.stop()
    channel = nil
    port = nil
  }

  func write(_ bytes: [UInt8]) -> Int { channel?.write(bytes) ?? bytes.count }

  func resumeReceiving() { channel?.resumeReading() }

  private func look() {
    guard isStarted, channel == nil else { return }
    guard !stream.isHungUp else {
      loop.schedule(after: Self.lookInterval) { [weak self] in self?.look() }
      return
    }
    let channel = StreamChannel(stream, [.input, .output], loop: loop)
    channel.capacity = { [weak port] in port?.receiveCapacity() ?? 0 }
    channel.onReceive = { [weak port] in port?.backendReceived($0) }
    channel.onSpace = { [weak port] in port?.backendHasSpace() }
    channel.onHangup = { [weak self] _ in
      self?.channel = nil
      self?.port?.backendDisconnected()
      self?.look()
    }
    self.channel = channel
    port?.backendConnected()
    channel.start()
  }
}
