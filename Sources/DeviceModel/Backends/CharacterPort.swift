/// The place where a device and a byte stream of the host meet.
///
/// The device holds the port for its whole life; a ``CharacterBackend`` can be attached, swapped and
/// detached at any time, and the device notices no more than that the line is connected or not.
/// What a device writes while nothing is connected is gone, as on an unplugged cable.
///
/// ```swift
/// port.receiveCapacity = { [unowned self] in freeSpace }
/// port.onReceive = { [unowned self] bytes in take(bytes) }
/// port.onSpace = { [unowned self] in sendMore() }
/// if port.write([0x41]) == 0 { /* wait for onSpace */ }
/// ```
///
/// Threads: confined to the loop of the device.
public final class CharacterPort {
  // MARK: The device's side

  /// How many bytes the device takes now; asked before each delivery.
  ///
  /// After it answered 0 the device calls ``resumeReceiving()`` when it has room again.
  public var receiveCapacity: () -> Int = { 0 }
  /// Called with received bytes, at most as many as ``receiveCapacity`` allowed.
  public var onReceive: ([UInt8]) -> Void = { _ in }
  /// Called when a backend that was full has room again, or is no longer there.
  public var onSpace: () -> Void = {}
  /// Called when the line becomes connected or unconnected.
  public var onConnectionChange: (Bool) -> Void = { _ in }

  /// Whether a backend is attached and somebody is at its other end.
  public private(set) var isConnected = false
  /// Whether the backend took less than all of what was written, and has not said since that it has room.
  public private(set) var isFull = false
  /// How many bytes were written while nothing was connected.
  public private(set) var discardedByteCount = 0

  /// Makes a port with nothing attached.
  public init() {}

  /// Writes the first bytes of `bytes`, as many as the backend has room for.
  ///
  /// - Returns: how many were taken; after fewer than all, ``onSpace`` follows.
  public func write(_ bytes: [UInt8]) -> Int {
    guard let backend, isConnected else {
      discardedByteCount &+= bytes.count
      return bytes.count
    }
    guard !isFull else { return 0 }
    let count = backend.write(bytes)
    isFull = count < bytes.count
    return count
  }

  /// Tells the backend that the device takes bytes again. Costs little when it did all the time.
  public func resumeReceiving() { backend?.resumeReceiving() }

  // MARK: The host's side

  /// What carries the bytes; nil for nothing.
  public private(set) var backend: (any CharacterBackend)?

  /// Connects the device to `backend` in place of what it was connected to.
  public func attach(_ backend: any CharacterBackend) {
    detach()
    self.backend = backend
    backend.start(for: self)
  }

  /// Unplugs the backend; what it had not yet passed on is gone.
  public func detach() {
    guard let backend else { return }
    backend.stop()
    self.backend = nil
    setConnected(false)
  }

  // MARK: Called by the backend

  /// Somebody is at the other end now.
  public func backendConnected() { setConnected(true) }

  /// Nobody is at the other end any more.
  public func backendDisconnected() { setConnected(false) }

  /// Bytes have arrived.
  public func backendReceived(_ bytes: [UInt8]) { onReceive(bytes) }

  /// There is room for more bytes.
  public func backendHasSpace() {
    guard isFull else { return }
    isFull = false
    onSpace()
  }

  private func setConnected(_ connected: Bool) {
    guard connected != isConnected else { return }
    isConnected = connected
    onConnectionChange(connected)
    // Whoever waited for room can go on: what is written now goes nowhere.
    if !connected { backendHasSpace() }
  }
}
