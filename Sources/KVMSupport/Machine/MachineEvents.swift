import VFIOUser

/// Tells whoever runs a machine what happens, on a thread of its own, so that nobody who reports waits or
/// holds a lock.
///
/// Threads: any.
final class MachineEvents: @unchecked Sendable {
  // The thread is only posted to, and ended once.
  private let thread: LoopThread
  private let onEvent: @Sendable (MachineEvent) -> Void
  private let devices = Guarded<[WeakDevice]>([])

  private struct WeakDevice: Sendable {
    weak let device: AttachedDevice?
  }

  init(_ onEvent: @escaping @Sendable (MachineEvent) -> Void) throws(Errno) {
    thread = try LoopThread(name: "machine", polling: .never)
    self.onEvent = onEvent
  }

  /// Whose windows are looked for and tried again.
  func add(_ device: AttachedDevice) {
    devices.withLock { $0.append(WeakDevice(device: device)) }
  }

  /// Tells of an event.
  func report(_ event: MachineEvent) {
    let onEvent = onEvent
    thread.loop.post { onEvent(event) }
  }

  /// Finds out whose loss the address space has met.
  func report(_ event: AddressSpaceEvent) {
    let owner = all.first { device in event.window.map(device.owns) ?? false }
    switch event.kind {
    case .portFailed(let failure): report(.portFailed(owner?.address, failure))
    case .regionFailed(let error): owner?.met(error)
    }
  }

  /// Lets every device try again to place what found no room.
  func retryPlacements() {
    for device in all { device.retryPlacement() }
  }

  /// As ``retryPlacements()``, on the machine's thread: some devices may keep it waiting.
  func retryPlacementsLater() {
    thread.loop.post { [weak self] in self?.retryPlacements() }
  }

  private var all: [AttachedDevice] { devices.withLock { $0.compactMap(\.device) } }

  /// Waits until everything has been told, but not for long.
  func awaitReports() {
    guard let done = try? EventDescriptorBox(EventDescriptor()) else { return }
    thread.loop.post { done.event.signal() }
    _ = done.event.wait(timeout: .seconds(1))
  }

  /// Ends the thread.
  func end() { thread.end() }
}
