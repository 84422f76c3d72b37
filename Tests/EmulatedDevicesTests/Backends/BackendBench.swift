import CVFIOUserLinux
import Glibc
import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

/// A port with nothing but memory behind it, a loop, and a folder for files.
final class BackendBench {
  let loop: EventLoop
  let port = CharacterPort()
  let folder: String
  private(set) var received: [UInt8] = []
  private(set) var connections: [Bool] = []
  private(set) var spaceCount = 0
  var capacity = Int.max

  init() throws {
    loop = try EventLoop(polling: .never)
    folder = "/tmp/vfio-user-test-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    // Safety: here and below, the path is terminated for the time of the call.
    try #require(unsafe mkdir(folder, 0o700) == 0)
    port.receiveCapacity = { [weak self] in self?.capacity ?? 0 }
    port.onReceive = { [weak self] in self?.received += $0 }
    port.onConnectionChange = { [weak self] in self?.connections.append($0) }
    port.onSpace = { [weak self] in self?.spaceCount += 1 }
  }

  deinit {
    port.detach()
    for name in ["socket", "file", "fifo"] { unsafe unlink(path(name)) }
    unsafe rmdir(folder)
  }

  var text: String { String(decoding: received, as: UTF8.self) }

  func path(_ name: String) -> String { "\(folder)/\(name)" }

  func attach(_ specification: String) throws {
    port.attach(try BackendSpecification(specification).open(on: loop))
  }

  /// Runs the loop until `condition` holds, a minute at most.
  func wait(until condition: () throws -> Bool) throws {
    let end = MonotonicTime.now.advanced(by: .seconds(60))
    while MonotonicTime.now < end {
      if try condition() { return }
      try loop.runOnce(timeout: .milliseconds(1))
    }
    Issue.record("the condition did not come true within a minute")
  }

  func run(for duration: Duration) throws {
    let end = MonotonicTime.now.advanced(by: duration)
    while MonotonicTime.now < end { try loop.runOnce(timeout: .milliseconds(1)) }
  }

  func exists(_ name: String) -> Bool { unsafe access(path(name), F_OK) == 0 }

  func content(of name: String) throws -> String {
    let raw = unsafe open(path(name), O_RDONLY | O_CLOEXEC)
    try #require(raw >= 0)
    let stream = HostStream(adopting: OwnedDescriptor(adopting: raw))
    var content: [UInt8] = []
    while let bytes = try stream.read(atMost: 4096), !bytes.isEmpty { content += bytes }
    return String(decoding: content, as: UTF8.self)
  }
}

/// Somebody at the other end of a backend.
final class Peer {
  let stream: HostStream
  private(set) var received: [UInt8] = []
  private(set) var hasEnded = false

  init(adopting raw: CInt) throws {
    try #require(raw >= 0)
    stream = HostStream(adopting: OwnedDescriptor(adopting: raw))
  }

  /// Connects to a Unix socket.
  convenience init(socket path: String) throws {
    // Safety: the path is terminated for the time of the call.
    try self.init(adopting: unsafe cvfu_connect(path))
  }

  /// Opens the far side of a pseudo-terminal.
  convenience init(terminal path: String) throws {
    try self.init(adopting: unsafe open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC))
  }

  var text: String { String(decoding: received, as: UTF8.self) }
  var lines: [String] { text.split(separator: "\n").map(String.init) }

  func send(_ text: String) throws { _ = try stream.write(Array(text.utf8)) }

  /// Takes what has arrived, and returns everything so far.
  @discardableResult
  func read() -> String {
    do throws(Errno) {
      while !hasEnded, let bytes = try stream.read(atMost: 4096) {
        if bytes.isEmpty { hasEnded = true }
        received += bytes
      }
    } catch { hasEnded = true }
    return text
  }

  /// Sends no more.
  func endOutput() { shutdown(stream.rawValue, CInt(SHUT_WR)) }
}

/// The two ends of a pipe.
func makePipe() throws -> (reading: CInt, writing: CInt) {
  var ends: [CInt] = [-1, -1]
  // Safety: the kernel writes two entries into an array of two.
  let result = unsafe ends.withUnsafeMutableBufferPointer { (ends) -> CInt in
    guard let ends = unsafe ends.baseAddress else { return -1 }
    return unsafe pipe(ends)
  }
  try #require(result == 0)
  for end in ends { try #require(cvfu_set_nonblocking(end, true) == 0) }
  return (ends[0], ends[1])
}
