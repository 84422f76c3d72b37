import CVFIOUserLinux
import Synchronization
import Testing

@testable import VFIOUser

/// The test device, served by the real server on a loop and a thread of its own.
final class LiveServer {
  /// What lives on the server's thread, reached only by work that runs there.
  private final class Inside: @unchecked Sendable {
    var loop: EventLoop?
    var device: TestDevice?
    var server: DeviceServer?
    let isReady = ConditionLock()
    var listening = false
  }

  private let inside = Inside()
  private let thread: TestThread
  let path: String

  private static let counter = Atomic<Int>(0)

  init(options: DeviceOptions = DeviceOptions(), polling: PollingMode = .never) throws {
    let number = Self.counter.add(1, ordering: .relaxed).newValue
    let path = "/tmp/vfio-user-test-\(getpid())-\(number).sock"
    self.path = path
    thread = TestThread { [inside] in
      do {
        let loop = try EventLoop(polling: polling)
        let device = try TestDevice()
        let server = DeviceServer(host: DeviceHost(device: device, loop: loop, options: options))
        try server.listen(path: path)
        inside.isReady.withLock {
          inside.loop = loop
          inside.device = device
          inside.server = server
          inside.listening = true
          inside.isReady.broadcast()
        }
        try loop.run()
        // Everything of the loop dies on its own thread.
        inside.server = nil
        inside.device = nil
        inside.loop = nil
      } catch {
        Issue.record("the server failed: \(error)")
      }
    }
    let deadline = MonotonicTime.now.advanced(by: .seconds(60))
    inside.isReady.lock()
    while !inside.listening, inside.isReady.wait(until: deadline) {}
    let isListening = inside.listening
    inside.isReady.unlock()
    try #require(isListening)
  }

  func connect(_ configure: (inout ClientOptions) -> Void = { _ in }) throws -> DeviceClient {
    var options = ClientOptions()
    options.timeout = .seconds(60)
    configure(&options)
    return try DeviceClient.connect(path: path, options: options)
  }

  /// Runs something on the server's loop and waits for it.
  func onLoop(_ body: @escaping @Sendable (TestDevice) throws -> Void) throws {
    let done = ConditionLock()
    let flag = FlagBox()
    inside.loop?.post { [inside] in
      if let device = inside.device {
        do { try body(device) } catch { Issue.record("on the loop: \(error)") }
      }
      done.withLock {
        flag.isSet = true
        done.broadcast()
      }
    }
    let deadline = MonotonicTime.now.advanced(by: .seconds(60))
    done.lock()
    while !flag.isSet, done.wait(until: deadline) {}
    let isSet = flag.isSet
    done.unlock()
    try #require(isSet)
  }

  private final class FlagBox: @unchecked Sendable {
    var isSet = false
  }

  func stop() {
    inside.isReady.withLock { inside.loop }?.post { [inside] in
      inside.server?.stop { inside.loop?.stop() }
    }
    thread.join()
  }

  deinit { stop() }
}
