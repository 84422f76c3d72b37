import DeviceModel
import VFIOUser

/// A file that a device's output is appended to; there is no input.
///
/// A file that cannot be written any more (disk full) counts as disconnected: what follows is gone.
final class FileBackend: CharacterBackend {
  let name: String
  private let output: StreamChannel

  init(path: String, loop: EventLoop) throws(Errno) {
    name = "file:\(path)"
    output = StreamChannel(try .appending(to: path), .output, loop: loop)
  }

  func start(for port: CharacterPort) {
    output.onSpace = { [weak port] in port?.backendHasSpace() }
    output.onHangup = { [weak port] _ in port?.backendDisconnected() }
    port.backendConnected()
    output.start()
  }

  func stop() { output.stop() }

  func write(_ bytes: [UInt8]) -> Int { output.write(bytes) }

  func resumeReceiving() {}
}
