import CNBD
import VFIOUser

/// The connection of one channel: watched by the loop while it is ready, made anew when it was lost.
///
/// Threads: confined to its loop.
@safe
final class NBDLink {
  enum State {
    /// Commands can be given.
    case ready
    /// A lost server is tried again.
    case connecting
    /// Nobody is there.
    case lost
  }

  /// Called when there are completions, or the state has changed.
  var onChange: () -> Void = {}
  private(set) var state: State

  private let storage: NBDStorage
  private let loop: EventLoop
  private var connection: NBDConnection?
  /// A second descriptor of the connection's socket, which libnbd closes when it likes.
  private var socket: OwnedDescriptor?
  private var watch: WatchToken?
  private var isWaitingToWrite = false
  private var connectEnd = ContinuousClock.now
  private var nextAttempt = ContinuousClock.now
  private var timer: TimerToken?

  /// How long it is left alone after an attempt that failed.
  private static let pause = Duration.seconds(1)
  /// How often connecting goes on.
  private static let step = Duration.milliseconds(2)

  init(_ storage: NBDStorage, _ connection: NBDConnection?, on loop: EventLoop) {
    self.storage = storage
    self.loop = loop
    self.connection = connection
    state = .lost
    if let connection, connection.isReady { adopt(connection) }
  }

  /// The connection for the shim's functions.
  var handle: OpaquePointer? { unsafe connection?.handle }
  var isReady: Bool { state == .ready }

  /// Whether a request has a chance: it may wait for a connection. Begins to connect where there is
  /// none and the last attempt is some time ago.
  var isUsable: Bool {
    if state == .lost, ContinuousClock.now >= nextAttempt { reconnect() }
    return state != .lost
  }

  /// Lets go of the connection and returns it, if it is still good.
  func end() -> NBDConnection? {
    unwatch()
    if let timer { loop.cancel(timer) }
    timer = nil
    onChange = {}
    defer { connection = nil }
    let isGood = state == .ready && connection?.isReady == true
    state = .lost
    return isGood ? connection : nil
  }

  // MARK: Commands

  var hasCompletions: Bool {
    guard let connection else { return false }
    return unsafe cnbd_has_completions(connection.handle)
  }

  /// The next command that has ended, and how.
  func takeCompletion() -> (tag: UInt32, error: Int32)? {
    guard let connection else { return nil }
    var completion = cnbd_completion()
    // Safety: room for one in a local variable.
    guard unsafe cnbd_reap(connection.handle, &completion, 1) == 1 else {
      // Whatever was in flight has been answered: a dead connection is let go of.
      if state == .ready, !connection.isReady { lose() }
      return nil
    }
    return (completion.tag, completion.error)
  }

  /// Makes the loop wait for what the connection waits for.
  func update() {
    guard let connection, let watch, state == .ready else { return }
    let wants = unsafe cnbd_wants_to_write(connection.handle)
    guard wants != isWaitingToWrite else { return }
    isWaitingToWrite = wants
    loop.modify(watch, wants ? [.readable, .writable] : .readable)
  }

  private func adopt(_ connection: NBDConnection) {
    do throws(Errno) {
      // A descriptor of our own stays what it is for as long as it is watched.
      let borrowed = OwnedDescriptor(adopting: unsafe cnbd_descriptor(connection.handle))
      let copy: OwnedDescriptor
      do throws(Errno) { copy = try borrowed.duplicate() } catch {
        _ = borrowed.release()
        throw error
      }
      _ = borrowed.release()
      isWaitingToWrite = false
      watch = try loop.watch(copy.rawValue, .readable) { [unowned self] events in
        notify(events)
      }
      socket = consume copy
      self.connection = connection
      state = .ready
    } catch {
      self.connection = nil
      lose()
    }
  }

  /// Sends and receives without waiting for the loop to find the socket ready.
  func receive() {
    guard state == .ready, let connection else { return }
    // Safety: the connection lives as long as this object has it.
    unsafe cnbd_try(connection.handle)
  }

  private func notify(_ events: EventInterest) {
    guard let connection else { return }
    // Safety: the connection lives as long as this object has it.
    unsafe cnbd_notify(
      connection.handle, !events.isDisjoint(with: [.readable, .hangup]),
      events.contains(.writable))
    onChange()
  }

  private func unwatch() {
    if let watch { loop.unwatch(watch) }
    watch = nil
    socket = nil
  }

  private func lose() {
    unwatch()
    state = .lost
    connection = nil
  }

  // MARK: Connecting again

  private func reconnect() {
    connection = nil
    connectEnd = ContinuousClock.now + NBDStorage.reconnectLimit
    state = .connecting
    scheduleStep(after: .zero)
  }

  private func scheduleStep(after delay: Duration) {
    timer = loop.schedule(after: delay) { [unowned self] in
      timer = nil
      goOn()
    }
  }

  private func goOn() {
    guard state == .connecting else { return }
    guard ContinuousClock.now < connectEnd else { return giveUp() }
    if connection == nil {
      guard let fresh = NBDConnection() else { return giveUp() }
      do throws(Errno) { try fresh.connect(to: storage.uri) } catch { return giveUp() }
      connection = fresh
    }
    guard let connection else { return }
    // Safety: the connection lives as long as this object has it.
    let result = unsafe cnbd_go_on(connection.handle, 0)
    if result == CNBD_CONNECTING { return scheduleStep(after: Self.step) }
    guard result == CNBD_READY, storage.accepts(connection) else { return giveUp() }
    adopt(connection)
    onChange()
  }

  private func giveUp() {
    lose()
    nextAttempt = ContinuousClock.now + Self.pause
    onChange()
  }
}
