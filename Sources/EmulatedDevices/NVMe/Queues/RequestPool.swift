/// The requests of one group: made when they are needed, and used again.
///
/// Threads: confined to the group's loop.
final class RequestPool {
  /// The most commands that a group carries out at once; more wait in their queues.
  static let limit = 16_384

  /// All requests, by ``NVMeRequest/index``.
  private(set) var all: ContiguousArray<NVMeRequest> = []
  private var free: ContiguousArray<NVMeRequest> = []

  /// A request for a command of `queue`; nil at the limit.
  @inline(__always)
  func take(_ group: QueueGroup, _ queue: SubmissionQueue) -> NVMeRequest? {
    if let request = free.popLast() {
      if request.queue !== queue { request.queue = queue }
      return request
    }
    return make(group, queue)
  }

  /// Takes a request back.
  @inline(__always)
  func give(_ request: NVMeRequest) { free.append(request) }

  /// Lets go of all requests, and they of their group.
  func close() {
    all = []
    free = []
  }

  @inline(never)
  private func make(_ group: QueueGroup, _ queue: SubmissionQueue) -> NVMeRequest? {
    guard all.count < Self.limit else { return nil }
    let request = NVMeRequest(group, queue, index: all.count)
    all.append(request)
    return request
  }
}
