import DeviceModel

/// Lines of text over a ``CharacterPort``: commands in, answers and events out.
///
/// Holds at most one unfinished line of input and the answers to one delivery of it: while answers
/// wait for a slow peer no more input is taken.
///
/// Threads: confined to the loop of the device.
final class TextLineChannel {
  /// Called with each line, without its end; what it returns is sent back.
  var onLine: (String) -> String? = { _ in nil }
  /// Called when everything that waited has been sent, and when the peer changes.
  var onIdle: () -> Void = {}

  /// The longest line in bytes; a longer one is answered with an error.
  static let longestLine = 128

  /// Whether lines are left where they are for the time being.
  var isPaused = false {
    didSet { if !isPaused { port.resumeReceiving() } }
  }

  private let port: CharacterPort
  private var input: [UInt8] = []
  private var isTooLong = false
  private var output: [UInt8] = []

  private static let newline = UInt8(ascii: "\n")
  private static let carriageReturn = UInt8(ascii: "\r")

  init(_ port: CharacterPort) {
    self.port = port
    // The port may outlive the device.
    port.receiveCapacity = { [weak self] in self?.capacity ?? 0 }
    port.onReceive = { [weak self] in self?.receive($0) }
    port.onSpace = { [weak self] in self?.flush() }
    port.onConnectionChange = { [weak self] _ in self?.peerChanged() }
  }

  /// Whether somebody reads what is sent.
  var isConnected: Bool { port.isConnected }

  /// Whether nothing waits to be sent.
  var isIdle: Bool { output.isEmpty }

  /// Sends a line, now or when there is room.
  ///
  /// Events should be sent only while ``isIdle``, so that what waits stays bounded.
  func send(_ line: String) {
    guard port.isConnected else { return }
    output += line.utf8
    output.append(Self.newline)
    flush()
  }

  private var capacity: Int { !isPaused && output.isEmpty ? Self.longestLine : 0 }

  private func peerChanged() {
    input = []
    isTooLong = false
    output = []
    onIdle()
  }

  private func flush() {
    if !output.isEmpty {
      output.removeFirst(min(port.write(output), output.count))
      guard output.isEmpty else { return }
      port.resumeReceiving()
    }
    onIdle()
  }

  private func receive(_ bytes: [UInt8]) {
    for byte in bytes {
      if byte == Self.newline {
        endLine()
      } else if input.count < Self.longestLine {
        input.append(byte)
      } else {
        isTooLong = true
      }
    }
  }

  private func endLine() {
    if input.last == Self.carriageReturn { input.removeLast() }
    let line = String(decoding: input, as: UTF8.self)
    let tooLong = isTooLong
    input = []
    isTooLong = false
    if tooLong {
      send("error a line has at most \(Self.longestLine) bytes")
    } else if let answer = onLine(line) {
      send(answer)
    }
  }
}
