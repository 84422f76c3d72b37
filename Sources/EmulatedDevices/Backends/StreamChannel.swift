import DeviceModel
import VFIOUser

/// A stream of the host on an event loop: what all backends have in common.
///
/// It reads as much as its owner has room for, stops reading while that is nothing, and says when
/// there is room to write again. Descriptors that cannot be watched (files, /dev/null) are always
/// ready.
///
/// Threads: confined to the loop.
final class StreamChannel {
  /// The directions that a channel serves.
  struct Directions: OptionSet {
    let rawValue: Int
    static let input = Directions(rawValue: 1)
    static let output = Directions(rawValue: 2)
  }

  /// How many bytes the owner takes now.
  var capacity: () -> Int = { 0 }
  /// Bytes have been read.
  var onReceive: ([UInt8]) -> Void = { _ in }
  /// There is room to write after there was none.
  var onSpace: () -> Void = {}
  /// The other side is gone, and everything that it sent has been delivered. Called once.
  var onHangup: (Errno?) -> Void = { _ in }

  /// Whether the other side is gone, though what it sent may still be there.
  private(set) var isHungUp = false

  private let stream: HostStream
  private let loop: EventLoop
  private let directions: Directions
  private var token: WatchToken?
  private var isStarted = false
  private var cannotBeWatched = false
  private var isReading = false
  private var hasEnded = false
  private var waitsForSpace = false
  private var readsLater = false
  private var isClosed = false

  /// How long until a file that had no room is tried again.
  private static let retryDelay = Duration.milliseconds(20)

  init(_ stream: HostStream, _ directions: Directions, loop: EventLoop) {
    self.stream = stream
    self.directions = directions
    self.loop = loop
  }

  /// Begins to read and to look at the other side.
  func start() {
    isStarted = true
    isReading = directions.contains(.input)
    updateWatch()
  }

  /// Ends all activity; no callback comes after it.
  func stop() {
    isClosed = true
    if let token { loop.unwatch(token) }
    token = nil
  }

  /// Writes what there is room for; after less than all, `onSpace` follows.
  func write(_ bytes: [UInt8]) -> Int {
    guard !isClosed, !isHungUp else { return bytes.count }
    guard !waitsForSpace else { return 0 }
    do throws(Errno) {
      let count = try stream.write(bytes)
      if count < bytes.count {
        waitsForSpace = true
        updateWatch()
      }
      return count
    } catch {
      // Told later: the caller is in the middle of something.
      loop.schedule(after: .zero) { [weak self] in self?.hangUp(error) }
      return bytes.count
    }
  }

  /// Reads again after `capacity` was 0.
  func resumeReading() {
    guard isStarted, directions.contains(.input), !isReading, !hasEnded, !isClosed else { return }
    isReading = true
    updateWatch()
  }

  // MARK: - Readiness

  private func updateWatch() {
    guard isStarted, !isClosed else { return }
    var interest: EventInterest = []
    if isReading { interest.insert(.readable) }
    if waitsForSpace { interest.insert(.writable) }
    if isHungUp || cannotBeWatched {
      if isReading { readLater() }
      if waitsForSpace { retryLater() }
    } else if let token {
      loop.modify(token, interest)
    } else {
      do throws(Errno) {
        token = try loop.watch(stream.rawValue, interest) { [weak self] events in
          self?.handle(events)
        }
      } catch {
        cannotBeWatched = true
        updateWatch()
      }
    }
  }

  private func handle(_ events: EventInterest) {
    if events.contains(.writable), waitsForSpace {
      waitsForSpace = false
      updateWatch()
      onSpace()
      guard !isClosed else { return }
    }
    if isReading, !events.isDisjoint(with: [.readable, .hangup]) {
      readOnce()
    } else if events.contains(.hangup) {
      hangUp(nil)
    }
  }

  private func readLater() {
    guard !readsLater else { return }
    readsLater = true
    loop.schedule(after: .zero) { [weak self] in
      guard let self else { return }
      readsLater = false
      guard isReading, !isClosed else { return }
      readOnce()
      if isReading, !isClosed { readLater() }
    }
  }

  private func retryLater() {
    loop.schedule(after: Self.retryDelay) { [weak self] in
      guard let self, waitsForSpace, !isClosed else { return }
      waitsForSpace = false
      onSpace()
    }
  }

  private func readOnce() {
    let room = capacity()
    guard room > 0 else {
      isReading = false
      updateWatch()
      return
    }
    do throws(Errno) {
      guard let bytes = try stream.read(atMost: room) else { return }
      if bytes.isEmpty { endInput(nil) } else { onReceive(bytes) }
    } catch {
      // A pseudo-terminal's way to say that the other side was closed.
      isHungUp = true
      endInput(error == .ioError ? nil : error)
    }
  }

  /// The other side sends no more; it may still read.
  private func endInput(_ error: Errno?) {
    hasEnded = true
    isReading = false
    if isHungUp { close(error) } else { updateWatch() }
  }

  /// The other side has gone; what it sent before is still delivered.
  private func hangUp(_ error: Errno?) {
    guard !isHungUp, !isClosed else { return }
    isHungUp = true
    if let token { loop.unwatch(token) }
    token = nil
    if hasEnded || !directions.contains(.input) { return close(error) }
    if waitsForSpace {
      waitsForSpace = false
      onSpace()
    }
    if isReading { readLater() }
  }

  private func close(_ error: Errno?) {
    guard !isClosed else { return }
    stop()
    onHangup(error)
  }
}
