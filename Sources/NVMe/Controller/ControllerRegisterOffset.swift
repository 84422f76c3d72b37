/// Where the controller's registers lie in the first memory window (MLBAR, BAR 0), in bytes.
///
/// Source: NVMe 1.4, figure 68.
public enum ControllerRegisterOffset {
  /// Controller Capabilities (CAP), 8 bytes.
  public static let capabilities: UInt64 = 0x00
  /// Version (VS).
  public static let version: UInt64 = 0x08
  /// Interrupt Mask Set (INTMS).
  public static let interruptMaskSet: UInt64 = 0x0c
  /// Interrupt Mask Clear (INTMC).
  public static let interruptMaskClear: UInt64 = 0x10
  /// Controller Configuration (CC).
  public static let configuration: UInt64 = 0x14
  /// Controller Status (CSTS).
  public static let status: UInt64 = 0x1c
  /// NVM Subsystem Reset (NSSR).
  public static let subsystemReset: UInt64 = 0x20
  /// Admin Queue Attributes (AQA).
  public static let adminQueueAttributes: UInt64 = 0x24
  /// Admin Submission Queue Base Address (ASQ), 8 bytes.
  public static let adminSubmissionQueue: UInt64 = 0x28
  /// Admin Completion Queue Base Address (ACQ), 8 bytes.
  public static let adminCompletionQueue: UInt64 = 0x30
  /// The first doorbell: Submission Queue 0 Tail.
  public static let doorbells: UInt64 = 0x1000

  /// Submission Queue y Tail Doorbell (SQyTDBL).
  ///
  /// - Parameter stride: bytes between doorbells: 4 shifted by CAP.DSTRD.
  @inlinable
  public static func submissionQueueTail(_ queue: UInt16, stride: UInt64 = 4) -> UInt64 {
    doorbells + UInt64(queue) * 2 * stride
  }

  /// Completion Queue y Head Doorbell (CQyHDBL).
  ///
  /// - Parameter stride: bytes between doorbells: 4 shifted by CAP.DSTRD.
  @inlinable
  public static func completionQueueHead(_ queue: UInt16, stride: UInt64 = 4) -> UInt64 {
    doorbells + (UInt64(queue) * 2 + 1) * stride
  }
}
