import CIORegionRing
import VFIOUser

/// One loop's ring and the endpoints on it.
///
/// Threads: confined to its loop.
@safe
final class RingService: IORegionService {
  private let loop: EventLoop
  private let ring: OpaquePointer
  private var watch: WatchToken?
  private var poller: PollerToken?
  /// By slot.
  private var endpoints: [RingEndpoint?] = []
  private let arrivals: UnsafeMutablePointer<cir_arrival>
  private var isProcessing = false

  private static let batch: UInt32 = 16

  init(_ loop: EventLoop) throws(Errno) {
    var ring: OpaquePointer?
    // Safety: the result goes to a local variable.
    let result = unsafe cir_open(&ring)
    guard result == 0, let ring = unsafe ring else { throw Errno(rawValue: -result) }
    self.loop = loop
    unsafe self.ring = unsafe ring
    // Safety: owned storage of a trivial type, released by deinit.
    unsafe arrivals = .allocate(capacity: Int(Self.batch))
    do {
      watch = try loop.watch(unsafe cir_descriptor(ring), .readable) { [unowned self] _ in
        _ = process()
      }
    } catch {
      // `deinit` lets go of the rest.
      throw error
    }
    poller = loop.addPoller { [unowned self] in process() }
  }

  deinit {
    // A loop that has ended lets go of its services from another thread, and of its watches as well.
    if loop.isCurrent {
      if let watch { loop.unwatch(watch) }
      if let poller { loop.removePoller(poller) }
    }
    // Safety: endpoints keep the service, so every slot was detached; nobody else has the pointers.
    unsafe cir_close(ring)
    unsafe arrivals.deallocate()
  }

  func serve(
    _ socket: consuming OwnedDescriptor, for executor: any IORegionExecutor
  ) throws(Errno) -> any IORegionEndpoint {
    let raw = socket.rawValue
    // Safety: the ring lives as long as the service.
    let slot = unsafe cir_attach(ring, raw)
    guard slot >= 0 else { throw Errno(rawValue: -slot) }
    _ = socket.release()
    let endpoint = RingEndpoint(UInt32(slot), executor, self)
    while endpoints.count <= Int(slot) { endpoints.append(nil) }
    endpoints[Int(slot)] = endpoint
    receive(UInt32(slot))
    submit()
    return endpoint
  }

  /// Takes what has arrived. Returns whether something had.
  private func process() -> Bool {
    guard !isProcessing else { return false }
    isProcessing = true
    defer { isProcessing = false }
    // Safety: the storage has room for a batch; the ring lives as long as the service.
    let count = unsafe cir_take(ring, arrivals, Self.batch)
    guard count > 0 else { return false }
    for index in 0..<Int(count) {
      // Safety: the ring has filled the first `count`.
      let arrival = unsafe arrivals[index]
      // An earlier one of the batch may have closed it.
      guard let endpoint = endpoints[Int(arrival.slot)] else { continue }
      endpoint.arrived(arrival)
    }
    submit()
    loop.noteActivity()
    return true
  }

  // MARK: For the endpoints

  func receive(_ slot: UInt32) {
    // Safety: as above.
    let result = unsafe cir_receive(ring, slot)
    if result < 0 { endpoints[Int(slot)]?.fail("\(Errno(rawValue: -result))") }
  }

  func respond(_ slot: UInt32, _ data: UInt64) {
    // Safety: as above.
    let result = unsafe cir_respond(ring, slot, data)
    if result < 0 { endpoints[Int(slot)]?.fail("\(Errno(rawValue: -result))") }
  }

  /// Hands over what was asked for. What the kernel has no room for now goes with the next call.
  func submit() {
    // Safety: as above.
    let result = unsafe cir_submit(ring)
    let error = Errno(rawValue: -result)
    guard result < 0, error != .resourceTemporarilyUnavailable, error != .resourceBusy
    else { return }
    // Nothing would ever arrive: the clients go back to messages.
    for endpoint in endpoints { endpoint?.fail("io_uring: \(error)") }
  }

  /// As `submit`, unless a batch is in progress that ends with one.
  func submitLater() { if !isProcessing { submit() } }

  func hasHungUp(_ slot: UInt32) -> Bool {
    // Safety: as above.
    unsafe cir_has_hung_up(ring, slot)
  }

  func close(_ slot: UInt32) {
    endpoints[Int(slot)] = nil
    // Safety: as above.
    unsafe cir_detach(ring, slot)
  }

  /// Runs `body` after what the loop does now.
  func later(_ body: @escaping () -> Void) {
    let confined = LoopConfined(body)
    loop.post { confined.value() }
  }
}
