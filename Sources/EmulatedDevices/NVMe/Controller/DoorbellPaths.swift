import DeviceModel
import NVMe

/// How the doorbells of a controller wish to be reached, where they are accesses.
///
/// By value on ioregionfds, whose writes nobody waits for: all on one, or where the queues have threads of
/// their own on one for each thread, so that the processors that ring them do not wait for each other. Once
/// a driver keeps the values in its own memory, an eventfd that says "look there" takes the place of the
/// value.
struct DoorbellPaths {
  /// How many pairs of I/O queues there can be.
  let queueCount: Int
  /// How many threads serve them; 0 for the device's own.
  let threadCount: Int
  /// The size of the page of doorbells in bytes.
  static let byteCount: UInt64 = 0x1000

  /// - Parameters:
  ///   - submissionQueues: whose tails are in the driver's memory.
  ///   - completionQueues: whose heads are.
  func paths(
    signalling submissionQueues: some Sequence<UInt16> = [],
    _ completionQueues: some Sequence<UInt16> = []
  ) -> [RegionPath] {
    let places =
      submissionQueues.map { UInt64($0) * 8 } + completionQueues.map { UInt64($0) * 8 + 4 }
    return byValue
      + places.sorted().map {
        RegionPath(offset: RegionOffset($0), byteCount: 4, kind: .ioeventfd(matching: nil))
      }
  }

  private var byValue: [RegionPath] {
    func path(_ offset: UInt64, _ end: UInt64, _ group: Int) -> RegionPath {
      RegionPath(
        offset: RegionOffset(offset), byteCount: end - offset,
        kind: .ioregionfd(postsWrites: true), descriptorGroup: group)
    }
    guard threadCount > 0 else { return [path(0, Self.byteCount, 0)] }
    let queues = (1...max(1, queueCount)).map { number in
      path(UInt64(number) * 8, UInt64(number + 1) * 8, 1 + (number - 1) % threadCount)
    }
    let end = UInt64(max(1, queueCount) + 1) * 8
    return [path(0, 8, 0)] + queues + [path(end, Self.byteCount, 0)]
  }
}
