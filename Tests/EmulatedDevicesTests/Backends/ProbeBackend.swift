@testable import DeviceModel

/// A backend in the test's hands: as much room as it says, and input when it says.
final class ProbeBackend: CharacterBackend {
  let name = "probe"
  var room = Int.max
  private(set) var written: [UInt8] = []
  private(set) var isStarted = false
  private var pending: [UInt8] = []
  private weak var port: CharacterPort?
  private let connectsAtOnce: Bool

  init(connected: Bool = true) { connectsAtOnce = connected }

  var text: String { String(decoding: written, as: UTF8.self) }
  /// How many bytes of input the device has not taken.
  var pendingByteCount: Int { pending.count }

  func start(for port: CharacterPort) {
    self.port = port
    isStarted = true
    if connectsAtOnce { port.backendConnected() }
  }

  func stop() {
    isStarted = false
    port = nil
  }

  func write(_ bytes: [UInt8]) -> Int {
    let count = min(bytes.count, room)
    written += bytes[..<count]
    if room != .max { room -= count }
    return count
  }

  func resumeReceiving() {}

  func setConnected(_ connected: Bool) {
    if connected { port?.backendConnected() } else { port?.backendDisconnected() }
  }

  func makeRoom(_ byteCount: Int = .max) {
    room = byteCount
    port?.backendHasSpace()
  }

  func send(_ bytes: [UInt8]) {
    pending += bytes
    pump()
  }

  func send(_ text: String) { send(Array(text.utf8)) }

  /// Delivers what the device takes.
  func pump() {
    while !pending.isEmpty, let port {
      let count = min(port.receiveCapacity(), pending.count)
      guard count > 0 else { return }
      let bytes = Array(pending[..<count])
      pending.removeFirst(count)
      port.backendReceived(bytes)
    }
  }
}
