import CAllocationCounter
import Glibc
import VFIOUser

/// A device server on a thread of its own and a client of it, in this process.
final class InProcess: @unchecked Sendable {
  let loop: EventLoop
  private(set) var device: BenchmarkDevice
  private let server: DeviceServer
  let client: DeviceClient

  init() throws {
    var ends: [CInt] = [-1, -1]
    guard cac_socket_pair(&ends) == 0 else { throw Errno(rawValue: errno) }
    loop = try EventLoop(polling: .never)
    device = try BenchmarkDevice()
    server = DeviceServer(host: DeviceHost(device: device, loop: loop))
    try server.adopt(OwnedDescriptor(adopting: ends[1]))
    var thread = pthread_t()
    let loop = loop
    let box = Unmanaged.passRetained(Box { try? loop.run() })
    pthread_create(
      &thread, nil,
      { argument in
        if let argument { Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body() }
        return nil
      }, box.toOpaque())
    client = try DeviceClient.connect(adopting: OwnedDescriptor(adopting: ends[0]))
  }

  /// Runs `body` on the device's loop and waits for it.
  func onLoop<Value>(_ body: @escaping (BenchmarkDevice) throws -> Value) throws -> Value {
    let done = DispatchlessSemaphore()
    nonisolated(unsafe) var result: Result<Value, any Error>?
    nonisolated(unsafe) let work = body
    loop.post { [self] in
      result = Result { try work(device) }
      done.signal()
    }
    done.wait()
    guard let result else { throw Errno.canceled }
    return try result.get()
  }

  private final class Box {
    let body: () -> Void
    init(_ body: @escaping () -> Void) { self.body = body }
  }
}

/// A semaphore of POSIX.
final class DispatchlessSemaphore: @unchecked Sendable {
  private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
  init() { sem_init(semaphore, 0, 0) }
  deinit {
    sem_destroy(semaphore)
    semaphore.deallocate()
  }
  func signal() { sem_post(semaphore) }
  func wait() { while sem_wait(semaphore) != 0 {} }
}
