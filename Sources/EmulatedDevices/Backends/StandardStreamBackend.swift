import DeviceModel
import VFIOUser

/// Standard input and output as a device's byte stream.
///
/// A terminal is in raw mode while the backend is attached, so that every key reaches the guest, but
/// Ctrl-], which ends the process. The end of input leaves output connected.
final class StandardStreamBackend: CharacterBackend {
  let name = "stdio"
  private let input: StreamChannel
  private let output: StreamChannel
  private weak var port: CharacterPort?
  private var isTerminal = false

  /// Ctrl-].
  private static let escape: UInt8 = 0x1d

  convenience init(loop: EventLoop) throws(Errno) {
    self.init(input: try .standardInput(), output: try .standardOutput(), loop: loop)
  }

  init(input: HostStream, output: HostStream, loop: EventLoop) {
    self.input = StreamChannel(input, .input, loop: loop)
    self.output = StreamChannel(output, .output, loop: loop)
  }

  func start(for port: CharacterPort) {
    self.port = port
    // A terminal that refuses raw mode still works line by line.
    isTerminal = (try? HostStream.makeTerminalRaw()) ?? false
    input.capacity = { [weak port] in port?.receiveCapacity() ?? 0 }
    input.onReceive = { [weak self] in self?.receive($0) }
    output.onSpace = { [weak port] in port?.backendHasSpace() }
    output.onHangup = { [weak port] _ in port?.backendDisconnected() }
    port.backendConnected()
    input.start()
    output.start()
  }

  func stop() {
    input.stop()
    output.stop()
    if isTerminal { HostStream.restoreTerminal() }
    port = nil
  }

  func write(_ bytes: [UInt8]) -> Int { output.write(bytes) }

  func resumeReceiving() { input.resumeReading() }

  private func receive(_ bytes: [UInt8]) {
    if isTerminal, bytes.contains(Self.escape) { return HostStream.interruptProcess() }
    port?.backendReceived(bytes)
  }
}
