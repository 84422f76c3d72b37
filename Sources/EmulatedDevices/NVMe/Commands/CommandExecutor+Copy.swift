import BlockStorage
import DeviceModel
import NVMe

extension CommandExecutor {
  /// Copy, descriptor format 0.
  ///
  /// Source: NVM Command Set 1.0, section 3.2.2.
  func copy(_ request: NVMeRequest, _ namespace: NVMeNamespace) {
    let control = request.entry.dword12
    let count = Int(control & 0xff) + 1
    guard control >> 8 & 0xf == 0 else { return refuse(request, .invalidField, at: 49) }
    // Protection information of either side has no use without metadata.
    guard control & 0x3c00_f000 == 0 else { return refuse(request, .invalidField, at: 48) }
    guard !namespace.isReadOnly else { return request.complete(.namespaceWriteProtected) }
    guard count <= limits.copyRangeCount else {
      return refuse(request, .commandSizeLimitExceeded, at: 48)
    }
    guard let words = loadParameters(request, byteCount: count * 32) else { return }
    var sources: [Range<UInt64>] = []
    var blockCount: UInt64 = 0
    let total = namespace.blockCount
    for index in 0..<count {
      let first = words[index * 4 + 1]
      let length = (words[index * 4 + 2] & 0xffff) + 1
      guard length <= UInt64(limits.copyRangeBlockCount) else {
        return refuse(request, .commandSizeLimitExceeded, at: 24)
      }
      guard first < total, length <= total - first else {
        request.errorBlock = first
        return refuse(request, .blockOutOfRange, at: 24)
      }
      sources.append(first..<(first + length))
      blockCount += length
    }
    guard blockCount <= UInt64(limits.copyBlockCount) else {
      return refuse(request, .commandSizeLimitExceeded, at: 24)
    }
    let target = request.entry.startingBlock
    guard target < total, blockCount <= total - target else {
      return refuse(request, .blockOutOfRange, at: 40)
    }
    // What would be overwritten before it is read: the specification leaves this open.
    let targets = target..<(target + blockCount)
    guard !sources.contains(where: { $0.overlaps(targets) }) else {
      return refuse(request, .invalidField, at: 24)
    }
    start(CopySteps(self, request, namespace, sources, to: target), request)
  }
}

/// Copies ranges of blocks, one after the other, to blocks in a row.
final class CopySteps: CommandSteps {
  private unowned let executor: CommandExecutor
  private unowned let request: NVMeRequest
  private let namespace: NVMeNamespace
  private let sources: [Range<UInt64>]
  private let buffer: IOBuffer
  private let block: BlockRequest
  private let shift: UInt64
  private var source = 0
  /// How many blocks of the current source are done.
  private var done: UInt64 = 0
  private var target: UInt64
  /// How many blocks are on their way, read or written.
  private var moving: UInt64 = 0
  private var isWriting = false

  init(
    _ executor: CommandExecutor, _ request: NVMeRequest, _ namespace: NVMeNamespace,
    _ sources: [Range<UInt64>], to target: UInt64
  ) {
    self.executor = executor
    self.request = request
    self.namespace = namespace
    // No more than the longest source needs.
    let longest = (sources.map(\.count).max() ?? 0) << namespace.blockShift
    buffer = IOBuffer(byteCount: min(max(longest, 4096), 262_144))
    self.sources = sources
    self.target = target
    shift = UInt64(namespace.blockShift)
    block = BlockRequest(data: DMAScatterList(executor.engine), owner: executor)
    block.tag = request.index
    executor.noteBuffer(buffer.byteCount)
  }

  func advance(_ error: Errno?) {
    if let error { return fail(executor.status(for: error, block, namespace)) }
    if moving > 0 { stepDone() }
    while source < sources.count {
      guard prepare() else { return }
      switch executor.submit(block, namespace) {
      case .done: stepDone()
      case .failed(let error): return fail(executor.status(for: error, block, namespace))
      case .pending: return
      }
    }
    end(.success)
  }

  /// Makes the next request; false when the command has ended.
  private func prepare() -> Bool {
    let range = sources[source]
    if isWriting {
      block.operation = .write
      block.byteOffset = target << shift
      block.isDurable = request.entry.forcesUnitAccess || executor.writesThrough
    } else {
      let first = range.lowerBound + done
      moving = min(range.upperBound - first, UInt64(buffer.byteCount) >> shift)
      if namespace.hasUncorrectable,
        let bad = namespace.firstUncorrectable(in: first..<(first + moving))
      {
        request.errorBlock = bad
        namespace.counters.noteMediaError()
        fail(.unrecoveredReadError)
        return false
      }
      block.operation = .read
      block.byteOffset = first << shift
      block.isDurable = false
      block.data.removeAll()
      block.data.append(buffer, byteCount: Int(moving << shift))
    }
    block.byteCount = Int(moving << shift)
    return true
  }

  private func stepDone() {
    guard isWriting else {
      isWriting = true
      return
    }
    isWriting = false
    if namespace.hasUncorrectable { namespace.markWritten(target..<(target + moving)) }
    executor.tally(
      namespace, readBytes: Int(moving << shift), writtenBytes: Int(moving << shift))
    target += moving
    done += moving
    moving = 0
    if sources[source].lowerBound + done == sources[source].upperBound {
      source += 1
      done = 0
    }
  }

  /// Dword 0 of the completion tells the first source range that was not copied whole.
  private func fail(_ status: NVMeStatus) {
    end(status, result: UInt32(source))
  }

  private func end(_ status: NVMeStatus, result: UInt32 = 0) {
    executor.noteBuffer(-buffer.byteCount)
    request.steps = nil
    request.complete(status, result: result)
  }
}
