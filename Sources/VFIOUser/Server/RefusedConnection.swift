/// A client that came while another was served: its VERSION is answered with `EBUSY`.
final class RefusedConnection {
  private let loop: EventLoop
  private var channel: MessageChannel?
  private var watch: WatchToken?
  private var timer: TimerToken?

  /// How long the client may take to say VERSION.
  private static let patience = Duration.seconds(2)

  init(_ socket: consuming OwnedDescriptor, loop: EventLoop) throws(Errno) {
    self.loop = loop
    let channel = try MessageChannel(adopting: socket, maximumMessageByteCount: 128 * 1024)
    self.channel = channel
    watch = try loop.watch(channel.socket.rawValue, .readable) { [weak self] _ in self?.answer() }
    timer = loop.schedule(after: Self.patience) { [weak self] in self?.finish() }
  }

  deinit { finish() }

  var isOver: Bool { channel == nil }

  private func answer() {
    guard let channel else { return }
    guard channel.receive() == .received else { return finish() }
    do throws(WireError) {
      guard let header = try channel.nextHeader() else { return }
      let reply = MessageHeader.errorReply(to: header, .resourceBusy)
      channel.build(MessageHeader.byteCount) { try? reply.encode(into: &$0) }
      try? channel.sendBuilt(MessageHeader.byteCount)
    } catch {}
    finish()
  }

  private func finish() {
    if let watch { loop.unwatch(watch) }
    if let timer { loop.cancel(timer) }
    watch = nil
    timer = nil
    channel = nil
  }
}
