import DeviceModel
import VFIOUser

/// A Unix socket that listens at a path and has one peer at a time.
///
/// A second peer gets the line ``refusal`` and is closed, as long as the first is there. The socket
/// file goes away with the backend.
final class UnixSocketBackend: CharacterBackend {
  let name: String
  /// What a second peer receives before its connection is closed.
  static let refusal = "error busy: another peer is connected\n"

  private let listener: HostListener
  private let loop: EventLoop
  private var watch: WatchToken?
  private var stream: HostStream?
  private var channel: StreamChannel?
  private weak var port: CharacterPort?

  init(path: String, loop: EventLoop) throws(ServerError) {
    name = "unix:\(path)"
    listener = try HostListener(path: path)
    self.loop = loop
  }

  func start(for port: CharacterPort) {
    self.port = port
    // A listening socket can always be watched.
    watch = try? loop.watch(listener.rawValue, .readable) { [weak self] _ in self?.accept() }
  }

  func stop() {
    if let watch { loop.unwatch(watch) }
    watch = nil
    port = nil
    closeChannel()
  }

  func write(_ bytes: [UInt8]) -> Int { channel?.write(bytes) ?? bytes.count }

  func resumeReceiving() { channel?.resumeReading() }

  private func accept() {
    guard let peer = listener.accept() else { return }
    if channel != nil {
      guard stream?.isHungUp ?? true else {
        _ = try? peer.write(Array(Self.refusal.utf8))
        return
      }
      // The first has gone; what it sent and nobody read yet is gone too.
      closeChannel()
      port?.backendDisconnected()
    }
    let channel = StreamChannel(peer, [.input, .output], loop: loop)
    channel.capacity = { [weak self] in self?.port?.receiveCapacity() ?? 0 }
    channel.onReceive = { [weak self] in self?.port?.backendReceived($0) }
    channel.onSpace = { [weak self] in self?.port?.backendHasSpace() }
    channel.onHangup = { [weak self] _ in
      self?.closeChannel()
      self?.port?.backendDisconnected()
    }
    stream = peer
    self.channel = channel
    port?.backendConnected()
    channel.start()
  }

  private func closeChannel() {
    channel?.stop()
    channel = nil
    stream = nil
  }
}
