public import NVMe

/// The end of a command, as its queue pair tells of it.
public struct NVMeCompletion: Sendable, Hashable {
  /// What ``NVMeQueuePair/submit(_:tag:)`` was given.
  public var tag: Int
  /// How it ended.
  public var status: NVMeStatus
  /// Dword 0 of the completion.
  public var result: UInt32
}
