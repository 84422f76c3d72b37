import CVFIOUserLinux
import Testing

@testable import VFIOUser

/// An ioregionfd whose device's end the test holds.
final class PortPair: @unchecked Sendable {
  let port: IORegionChannel
  private(set) var device: CInt
  /// A copy of the monitor's end, as a malicious server would keep one.
  let copy: CInt

  init(timeout: Duration = .seconds(60), polling: PollingMode = .never) throws {
    let ends = try Self.sockets()
    device = ends.device
    copy = try Errno.checkShim(cvfu_duplicate(ends.monitor))
    port = try IORegionChannel(
      adopting: OwnedDescriptor(adopting: ends.monitor), timeout: timeout, polling: polling)
  }

  deinit {
    closeDevice()
    close(copy)
  }

  static func sockets(
    _ type: CInt = CInt(SOCK_SEQPACKET.rawValue)
  ) throws -> (monitor: CInt, device: CInt) {
    var ends: [CInt] = [-1, -1]
    try #require(socketpair(AF_UNIX, type | CInt(SOCK_CLOEXEC.rawValue), 0, &ends) == 0)
    return (ends[0], ends[1])
  }

  func closeDevice() {
    if device >= 0 { close(device) }
    device = -1
  }

  /// The next command's 32 bytes; nil when none comes for a long time, or when there is none now.
  func receiveBytes(isWaiting: Bool = true) -> [UInt8]? {
    if isWaiting {
      var state = pollfd(fd: device, events: Int16(POLLIN), revents: 0)
      while poll(&state, 1, 60_000) < 0 {}
    }
    var bytes = [UInt8](repeating: 0, count: 64)
    let count = recv(device, &bytes, bytes.count, CInt(MSG_DONTWAIT))
    return count > 0 ? Array(bytes.prefix(count)) : nil
  }

  func receive(isWaiting: Bool = true) -> IORegionCommand? {
    guard let bytes = receiveBytes(isWaiting: isWaiting) else { return nil }
    return try? IORegionCommand(decoding: bytes.span.bytes)
  }

  func respond(_ data: UInt64) {
    var bytes = [UInt8](repeating: 0, count: IORegionResponse.byteCount)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    try? IORegionResponse(data: data).encode(into: &raw)
    send(bytes)
  }

  func send(_ bytes: [UInt8]) {
    _ = CVFIOUserLinux.send(device, bytes, bytes.count, CInt(MSG_NOSIGNAL))
  }

  /// Answers on a thread of its own until the monitor's end is closed.
  func serve(_ answer: @escaping @Sendable (IORegionCommand) -> UInt64) -> DispatchThread {
    DispatchThread { [self] in
      while let command = receive() {
        let data = answer(command)
        if command.wantsResponse { respond(data) }
      }
    }
  }
}
