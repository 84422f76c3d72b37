import DeviceModel

/// The doorbells as accesses: each write is a value for one queue.
///
/// Threads: confined to the device's loop.
final class DoorbellHandler: RegionHandler {
  private unowned let queues: QueueSet
  private let memory: SharedDeviceMemory

  init(_ queues: QueueSet, _ memory: SharedDeviceMemory) {
    self.queues = queues
    self.memory = memory
  }

  /// An eventfd in place of an access: the value is in the driver's memory.
  func notified(at offset: RegionOffset, byteCount: Int, value: UInt64?) {
    queues.doorbellSignalled(at: Int(clamping: offset.rawValue))
  }

  /// What a driver reads from doorbells is nothing that it could use.
  func read(
    at offset: RegionOffset, into bytes: inout MutableRawSpan, _ access: AccessContext
  ) throws(Errno) {
    try memory.read(at: offset, into: &bytes, access)
  }

  func write(
    at offset: RegionOffset, from bytes: RawSpan, _ access: AccessContext
  ) throws(Errno) {
    guard let place = Int(exactly: offset.rawValue), place % 4 == 0, bytes.byteCount % 4 == 0
    else { throw .invalidArgument }
    for index in 0..<(bytes.byteCount / 4) {
      guard let value = try? bytes.load(at: index * 4, as: UInt32.self) else { continue }
      queues.doorbellWritten(at: place + index * 4, value)
    }
  }
}
