import BlockStorage
import DeviceModel
import NVMe

/// One command in flight, from its fetch to its completion. Taken from its group's pool.
///
/// Threads: confined to the group's loop.
final class NVMeRequest {
  /// The command: the only copy that was made of it.
  var entry = SubmissionQueueEntry()
  /// The queue it came from.
  var queue: SubmissionQueue
  /// The group whose pool it belongs to.
  let group: QueueGroup
  /// What is asked of the storage for it; its list says where the data lies.
  let block: BlockRequest
  /// Its place in the pool.
  let index: Int
  /// A command that takes several steps, while it runs.
  var steps: (any CommandSteps)?
  /// What the error log should say beside the status.
  var parameterLocation = UInt16.max
  /// The first block that an error concerns; the command's own by default.
  var errorBlock: UInt64?
  /// Whether it carries no command.
  var isIdle = true
  /// Whether the group uses it again itself, rather than giving it back to the pool.
  var isHeld = false
  private var isBackground = false

  /// Where the data of the command lies in guest memory.
  var data: DMAScatterList { block.data }

  init(_ group: QueueGroup, _ queue: SubmissionQueue, index: Int) {
    self.group = group
    self.queue = queue
    self.index = index
    block = BlockRequest(data: DMAScatterList(group.engine), owner: group.executor)
    block.tag = index
  }

  /// Leaves the command open for as long as it takes, an asynchronous event request for example:
  /// nothing waits for it.
  func moveToBackground() {
    guard !isBackground else { return }
    isBackground = true
    group.noteEnd(of: queue)
  }

  /// Ends the command: posts its completion, or keeps it until the driver has made room for it.
  func complete(_ status: NVMeStatus, result: UInt32 = 0) {
    var status = status
    if !status.isSuccess {
      // The error log has an entry for it.
      status = status.withMore
      report(status)
    }
    if group.tellsCompletions {
      queue.completionQueue.post(
        queue, result: result, commandIdentifier: entry.commandIdentifier, status: status)
    }
    end()
  }

  /// Ends the command without a completion: its queue is going away.
  func drop() { end() }

  @inline(__always)
  private func end() {
    if isBackground { isBackground = false } else { group.noteEnd(of: queue) }
    group.recycle(self)
  }

  @inline(never)
  private func report(_ status: NVMeStatus) {
    group.report(
      ErrorReport(
        submissionQueue: queue.identifier, commandIdentifier: entry.commandIdentifier,
        status: status, parameterLocation: parameterLocation,
        block: errorBlock ?? (queue.identifier == 0 ? 0 : entry.startingBlock),
        namespace: entry.namespaceIdentifier))
    parameterLocation = .max
    errorBlock = nil
  }
}
