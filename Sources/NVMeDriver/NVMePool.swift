import VFIOUser

/// The memory that a driver shares with its controller, given out in whole pages.
///
/// Threads: one owner.
final class NVMePool {
  static let pageByteCount = 4096
  let memory: SharedMemory
  let isShared: Bool
  private let base: DMAAddress
  /// Free stretches of pages, ascending.
  private var free: [Range<Int>]

  /// - Parameter isShared: whether the device may map it; else it asks for it by messages.
  init(
    _ client: DeviceClient, byteCount: Int, at base: DMAAddress, isShared: Bool
  ) throws(NVMeDriverError) {
    self.isShared = isShared
    do throws(Errno) { memory = try SharedMemory(byteCount: byteCount, name: "nvme-driver") } catch
    {
      throw NVMeDriverError(.outOfMemory, "no memory for queues and data: \(error)")
    }
    self.base = base
    free = [0..<memory.byteCount / Self.pageByteCount]
    do throws(ClientError) {
      if isShared {
        try client.mapMemory(memory, at: base)
      } else {
        try client.mapPrivateMemory(memory, at: base)
      }
    } catch {
      throw NVMeDriverError(.connection, "the device does not take memory: \(error)")
    }
  }

  /// The first free stretch that is long enough.
  func allocate(_ byteCount: Int) throws(NVMeDriverError) -> NVMeBuffer {
    let pages = max((byteCount + Self.pageByteCount - 1) / Self.pageByteCount, 1)
    guard let index = free.firstIndex(where: { $0.count >= pages }) else {
      throw NVMeDriverError(
        .outOfMemory, "\(byteCount) bytes do not fit into the driver's memory any more")
    }
    let first = free[index].lowerBound
    free[index] = (first + pages)..<free[index].upperBound
    if free[index].isEmpty { free.remove(at: index) }
    let offset = first * Self.pageByteCount
    return NVMeBuffer(
      address: DMAAddress(base.rawValue + UInt64(offset)), byteCount: byteCount, memory: memory,
      offset: offset)
  }

  func release(_ buffer: NVMeBuffer) {
    let first = buffer.offset / Self.pageByteCount
    let pages = max((buffer.byteCount + Self.pageByteCount - 1) / Self.pageByteCount, 1)
    var range = first..<(first + pages)
    let index = free.firstIndex { $0.lowerBound > first } ?? free.count
    free.insert(range, at: index)
    if index + 1 < free.count, free[index + 1].lowerBound == range.upperBound {
      range = range.lowerBound..<free[index + 1].upperBound
      free[index] = range
      free.remove(at: index + 1)
    }
    if index > 0, free[index - 1].upperBound == range.lowerBound {
      free[index - 1] = free[index - 1].lowerBound..<range.upperBound
      free.remove(at: index)
    }
  }
}
