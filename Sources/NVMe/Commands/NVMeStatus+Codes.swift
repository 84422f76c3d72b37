// The statuses that NVMe 1.4 names. A status that may go away by itself allows a retry.
//
// Source: NVMe 1.4, figures 126, 127, 128 and 130; Command Size Limit Exceeded: NVM Command Set 1.0.

// MARK: Generic command status

extension NVMeStatus {
  /// Successful Completion.
  public static let success = NVMeStatus(type: 0, code: 0x00, doNotRetry: false)
  /// Invalid Command Opcode.
  public static let invalidOpcode = NVMeStatus(type: 0, code: 0x01)
  /// Invalid Field in Command.
  public static let invalidField = NVMeStatus(type: 0, code: 0x02)
  /// Command ID Conflict.
  public static let commandIdentifierConflict = NVMeStatus(type: 0, code: 0x03)
  /// Data Transfer Error.
  public static let dataTransferError = NVMeStatus(type: 0, code: 0x04, doNotRetry: false)
  /// Commands Aborted due to Power Loss Notification.
  public static let abortedByPowerLoss = NVMeStatus(type: 0, code: 0x05, doNotRetry: false)
  /// Internal Error.
  public static let internalError = NVMeStatus(type: 0, code: 0x06, doNotRetry: false)
  /// Command Abort Requested.
  public static let abortRequested = NVMeStatus(type: 0, code: 0x07, doNotRetry: false)
  /// Command Aborted due to SQ Deletion.
  public static let abortedByQueueDeletion = NVMeStatus(type: 0, code: 0x08, doNotRetry: false)
  /// Command Aborted due to Failed Fused Command.
  public static let failedFusedCommand = NVMeStatus(type: 0, code: 0x09)
  /// Command Aborted due to Missing Fused Command.
  public static let missingFusedCommand = NVMeStatus(type: 0, code: 0x0a)
  /// Invalid Namespace or Format.
  public static let invalidNamespaceOrFormat = NVMeStatus(type: 0, code: 0x0b)
  /// Command Sequence Error.
  public static let commandSequenceError = NVMeStatus(type: 0, code: 0x0c)
  /// Invalid SGL Segment Descriptor.
  public static let invalidSGLSegmentDescriptor = NVMeStatus(type: 0, code: 0x0d)
  /// Invalid Number of SGL Descriptors.
  public static let invalidSGLDescriptorCount = NVMeStatus(type: 0, code: 0x0e)
  /// Data SGL Length Invalid.
  public static let invalidDataSGLLength = NVMeStatus(type: 0, code: 0x0f)
  /// Metadata SGL Length Invalid.
  public static let invalidMetadataSGLLength = NVMeStatus(type: 0, code: 0x10)
  /// SGL Descriptor Type Invalid.
  public static let invalidSGLDescriptorType = NVMeStatus(type: 0, code: 0x11)
  /// Invalid Use of Controller Memory Buffer.
  public static let invalidControllerMemoryUse = NVMeStatus(type: 0, code: 0x12)
  /// PRP Offset Invalid.
  public static let invalidPRPOffset = NVMeStatus(type: 0, code: 0x13)
  /// Atomic Write Unit Exceeded.
  public static let atomicWriteUnitExceeded = NVMeStatus(type: 0, code: 0x14)
  /// Operation Denied.
  public static let operationDenied = NVMeStatus(type: 0, code: 0x15)
  /// SGL Offset Invalid.
  public static let invalidSGLOffset = NVMeStatus(type: 0, code: 0x16)
  /// SGL Data Block Granularity Invalid.
  public static let invalidSGLDataBlockGranularity = NVMeStatus(type: 0, code: 0x1e)
  /// Namespace is Write Protected.
  public static let namespaceWriteProtected = NVMeStatus(type: 0, code: 0x20)
  /// Command Interrupted.
  public static let commandInterrupted = NVMeStatus(type: 0, code: 0x21, doNotRetry: false)
  /// LBA Out of Range.
  public static let blockOutOfRange = NVMeStatus(type: 0, code: 0x80)
  /// Capacity Exceeded.
  public static let capacityExceeded = NVMeStatus(type: 0, code: 0x81)
  /// Namespace Not Ready.
  public static let namespaceNotReady = NVMeStatus(type: 0, code: 0x82, doNotRetry: false)
  /// Reservation Conflict.
  public static let reservationConflict = NVMeStatus(type: 0, code: 0x83)
  /// Format In Progress.
  public static let formatInProgress = NVMeStatus(type: 0, code: 0x84, doNotRetry: false)
}

// MARK: Command specific status

extension NVMeStatus {
  /// Completion Queue Invalid.
  public static let invalidCompletionQueue = NVMeStatus(type: 1, code: 0x00)
  /// Invalid Queue Identifier.
  public static let invalidQueueIdentifier = NVMeStatus(type: 1, code: 0x01)
  /// Invalid Queue Size.
  public static let invalidQueueSize = NVMeStatus(type: 1, code: 0x02)
  /// Abort Command Limit Exceeded.
  public static let abortLimitExceeded = NVMeStatus(type: 1, code: 0x03, doNotRetry: false)
  /// Asynchronous Event Request Limit Exceeded.
  public static let asynchronousEventRequestLimitExceeded = NVMeStatus(
    type: 1, code: 0x05, doNotRetry: false)
  /// Invalid Firmware Slot.
  public static let invalidFirmwareSlot = NVMeStatus(type: 1, code: 0x06)
  /// Invalid Firmware Image.
  public static let invalidFirmwareImage = NVMeStatus(type: 1, code: 0x07)
  /// Invalid Interrupt Vector.
  public static let invalidInterruptVector = NVMeStatus(type: 1, code: 0x08)
  /// Invalid Log Page.
  public static let invalidLogPage = NVMeStatus(type: 1, code: 0x09)
  /// Invalid Format.
  public static let invalidFormat = NVMeStatus(type: 1, code: 0x0a)
  /// Invalid Queue Deletion.
  public static let invalidQueueDeletion = NVMeStatus(type: 1, code: 0x0c)
  /// Feature Identifier Not Saveable.
  public static let featureNotSaveable = NVMeStatus(type: 1, code: 0x0d)
  /// Feature Not Changeable.
  public static let featureNotChangeable = NVMeStatus(type: 1, code: 0x0e)
  /// Feature Not Namespace Specific.
  public static let featureNotNamespaceSpecific = NVMeStatus(type: 1, code: 0x0f)
  /// Conflicting Attributes.
  public static let conflictingAttributes = NVMeStatus(type: 1, code: 0x80)
  /// Invalid Protection Information.
  public static let invalidProtectionInformation = NVMeStatus(type: 1, code: 0x81)
  /// Attempted Write to Read Only Range.
  public static let writeToReadOnlyRange = NVMeStatus(type: 1, code: 0x82)
  /// Command Size Limit Exceeded.
  public static let commandSizeLimitExceeded = NVMeStatus(type: 1, code: 0x83)
}

// MARK: Media and data integrity errors

extension NVMeStatus {
  /// Write Fault.
  public static let writeFault = NVMeStatus(type: 2, code: 0x80, doNotRetry: false)
  /// Unrecovered Read Error.
  public static let unrecoveredReadError = NVMeStatus(type: 2, code: 0x81, doNotRetry: false)
  /// Compare Failure.
  public static let compareFailure = NVMeStatus(type: 2, code: 0x85)
  /// Access Denied.
  public static let accessDenied = NVMeStatus(type: 2, code: 0x86)
  /// Deallocated or Unwritten Logical Block.
  public static let deallocatedBlock = NVMeStatus(type: 2, code: 0x87)
}
