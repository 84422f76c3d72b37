import CVFIOUserLinux

/// What a mailbox is made of, as the device's side makes it: memory, and two eventfds.
///
/// Threads: any may make it and hand it on; the loop that serves it uses it.
final class MailboxStore: IORegionDeviceEnd {
  /// How many descriptors the monitor gets.
  static let descriptorCount = 3

  let memory: MailboxMemory
  /// Raised by the monitor when the device sleeps.
  let commandEvent: EventDescriptor
  /// Raised by the device when the monitor sleeps.
  let responseEvent: EventDescriptor

  /// Makes a mailbox.
  ///
  /// - Throws: `EMFILE`, `ENFILE` or `ENOMEM`.
  init() throws(Errno) {
    memory = try MailboxMemory()
    commandEvent = try EventDescriptor()
    responseEvent = try EventDescriptor()
  }

  /// Second descriptors of the memory, the event of commands and the event of responses, for the monitor.
  ///
  /// - Throws: `EMFILE` when no descriptor is left.
  func monitorDescriptors() throws(Errno) -> [HeldDescriptor] {
    var boxes: [HeldDescriptor] = []
    for raw in [memory.rawDescriptor, commandEvent.rawValue, responseEvent.rawValue] {
      boxes.append(
        HeldDescriptor(
          OwnedDescriptor(adopting: try Errno.checkShim(cvfu_duplicate(raw)))))
    }
    return boxes
  }

  func open(
    on loop: EventLoop, _ service: any IORegionService, for executor: any IORegionExecutor
  ) throws(Errno) -> any IORegionEndpoint {
    try MailboxEndpoint(self, on: loop, for: executor)
  }
}
