import BlockStorage
import Foundation
import VFIOUser

/// A storage whose requests wait until the test lets them go, in the order of its choice.
///
/// Reads fill the memory with the number of their first block.
final class HeldStorage: BlockStorage, @unchecked Sendable {
  let name = "held"
  let byteCount: UInt64 = 1 << 20
  let traits = BlockStorageTraits()
  private let lock = NSLock()
  private var held: [(request: BlockRequest, loop: EventLoop)] = []

  func makeChannel(on loop: EventLoop) -> any BlockChannel { HeldChannel(self, loop) }

  /// How many requests wait.
  var count: Int { lock.withLock { held.count } }

  /// Waits until so many requests have arrived.
  func waits(for count: Int) -> Bool {
    for _ in 0..<60_000 {
      if self.count >= count { return true }
      usleep(1000)
    }
    return false
  }

  fileprivate func hold(_ request: BlockRequest, _ loop: EventLoop) {
    lock.withLock { held.append((request, loop)) }
  }

  /// Ends all that waits, in the order that `sort` makes of their first blocks.
  func release(
    sortedBy isBefore: (UInt64, UInt64) -> Bool = { $0 < $1 }, error: Errno? = nil
  ) {
    let all = lock.withLock {
      defer { held = [] }
      return held
    }
    // Safety: requests belong to the loop that ends them.
    nonisolated(unsafe) let sorted = all.sorted {
      isBefore($0.request.byteOffset, $1.request.byteOffset)
    }
    for index in sorted.indices {
      sorted[index].loop.post {
        let request = sorted[index].request
        if request.operation == .read, error == nil {
          let byte = UInt8(truncatingIfNeeded: request.byteOffset / 512)
          let bytes = [UInt8](repeating: byte, count: request.byteCount)
          try? request.data.write(at: 0, from: bytes.rawSpan)
        }
        request.owner.completed(request, error)
      }
    }
  }
}

private final class HeldChannel: BlockChannel {
  private let storage: HeldStorage
  private let loop: EventLoop

  init(_ storage: HeldStorage, _ loop: EventLoop) {
    self.storage = storage
    self.loop = loop
  }

  func submit(_ request: BlockRequest) -> BlockOutcome {
    storage.hold(request, loop)
    return .pending
  }

  func kick() {}
  func poll() -> Bool { false }
  func close() {}
}
