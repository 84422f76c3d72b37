import BlockStorage

@testable import VFIOUser

/// How doorbells and memory are reached in a run.
enum RigMode: String, CaseIterable, Sendable {
  case trapped, trappedAdaptive, polled, threads, threadsPolled, messages

  /// Whether the device looks at doorbells all the time.
  var isPolling: Bool { self == .polled || self == .threadsPolled }

  /// A rig, by default with a storage that does nothing, and queues of 4096 entries at most.
  func makeRig(
    depth: Int = 4096, storages: [any BlockStorage] = [NullStorage(byteCount: 1 << 30)]
  ) throws -> NVMeRig {
    let depth = "queue-depth=\(depth)"
    return switch self {
    case .trapped: try NVMeRig(depth, storages: storages)
    case .trappedAdaptive: try NVMeRig(depth, storages: storages, polling: .adaptive)
    case .polled: try NVMeRig(depth, storages: storages, polling: .always)
    case .threads: try NVMeRig(depth, "queue-threads=2", storages: storages)
    case .threadsPolled:
      try NVMeRig(depth, "queue-threads=1", storages: storages, polling: .always)
    case .messages: try NVMeRig(depth, storages: storages, isMapped: false)
    }
  }
}
