import CIORegionRing
import VFIOUser

/// The device's end of an ioregionfd, served with io_uring.
///
/// A receive is in flight unless an access waits for its answer, or the endpoint pauses with a command
/// in hand.
///
/// Threads: confined to its loop.
final class RingEndpoint: IORegionEndpoint {
  private let slot: UInt32
  private let executor: any IORegionExecutor
  private let service: RingService

  private(set) var generation: UInt64 = 0
  private(set) var isClosed = false
  /// The generation that was answered last.
  private var answered: UInt64 = 0
  private var pauseCount = 0
  private var isExecuting = false
  /// What arrived while the endpoint paused.
  private var held: cir_arrival?

  init(_ slot: UInt32, _ executor: any IORegionExecutor, _ service: RingService) {
    self.slot = slot
    self.executor = executor
    self.service = service
  }

  /// Whether an access waits for its answer.
  private var isWaiting: Bool { answered != generation }

  /// Handles what the ring has for the slot.
  func arrived(_ arrival: cir_arrival) {
    guard !isClosed else { return }
    if arrival.is_response { return unsent(Errno(rawValue: -arrival.result)) }
    guard pauseCount == 0 else {
      held = arrival
      return
    }
    guard arrival.result == Int32(IORegionCommand.byteCount) else {
      return noCommand(arrival.result)
    }
    take(arrival)
  }

  private func take(_ arrival: cir_arrival) {
    let command: IORegionCommand
    do throws(WireError) {
      command = try IORegionCommand(
        info: arrival.info, padding: arrival.padding, userData: arrival.user_data,
        offset: arrival.offset, data: arrival.data)
    } catch {
      return fail("\(error.context)")
    }
    generation &+= 1
    isExecuting = true
    let execution = executor.execute(command, from: self)
    isExecuting = false
    switch execution {
    case .done(let data):
      answered = generation
      guard !isClosed else { return }
      if command.wantsResponse {
        service.respond(slot, data)
        service.receive(slot)
        // Whoever waits for the response need not wait for the others of the batch.
        service.submit()
      } else {
        service.receive(slot)
      }
    case .later:
      if !command.wantsResponse { answered = generation }
      if !isWaiting, !isClosed {
        service.receive(slot)
        service.submitLater()
      }
    case .refused(let reason):
      answered = generation
      fail("\(reason)")
    }
  }

  private func noCommand(_ result: Int32) {
    guard result < 0 else {
      let isEnd = result == 0 && service.hasHungUp(slot)
      return fail(isEnd ? nil : "a command of \(result) bytes")
    }
    let error = Errno(rawValue: -result)
    fail(error == .connectionReset ? nil : "\(error)")
  }

  private func unsent(_ error: Errno) {
    switch error {
    case .brokenPipe, .connectionReset: fail(nil)
    case .resourceTemporarilyUnavailable: fail("its peer reads no responses")
    default: fail("\(error)")
    }
  }

  func respond(_ data: UInt64, generation: UInt64) {
    guard generation == self.generation, isWaiting, !isClosed else { return }
    answered = generation
    service.respond(slot, data)
    // While the handler runs, `take` asks for the next command.
    if !isExecuting { service.receive(slot) }
    service.submit()
  }

  func pause() { pauseCount += 1 }

  func resume() {
    pauseCount -= 1
    guard pauseCount == 0, held != nil else { return }
    service.later { [self] in
      guard pauseCount == 0, let arrival = held else { return }
      held = nil
      arrived(arrival)
      service.submit()
    }
  }

  /// Closes because of the peer.
  func fail(_ reason: String?) {
    guard !isClosed else { return }
    close()
    executor.endpointClosed(self, because: reason)
  }

  func close() {
    guard !isClosed else { return }
    isClosed = true
    held = nil
    service.close(slot)
  }
}
