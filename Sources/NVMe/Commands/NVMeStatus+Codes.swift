// The statuses that NVMe 1.4 names. A status that may go away by itself allows a retry.
//
// Source: NVMe 1.4, figures 126, 127, 128 and 130; Command Size Limit Exceeded: NVM Command Set 1.0.

// MARK: Generic command status

extension NVMeStatus {
  /// Successful Completion.
  @inlinable public static var success: NVMeStatus {
    NVMeStatus(type: 0, code: 0x00, doNotRetry: false)
  }
  /// Invalid Command Opcode.
  @inlinable public static var invalidOpcode: NVMeStatus { NVMeStatus(type: 0, code: 0x01) }
  /// Invalid Field in Command.
  @inlinable public static var invalidField: NVMeStatus { NVMeStatus(type: 0, code: 0x02) }
  /// Command ID Conflict.
  @inlinable public static var commandIdentifierConflict: NVMeStatus {
    NVMeStatus(type: 0, code: 0x03)
  }
  /// Data Transfer Error.
  @inlinable public static var dataTransferError: NVMeStatus {
    NVMeStatus(type: 0, code: 0x04, doNotRetry: false)
  }
  /// Commands Aborted due to Power Loss Notification.
  @inlinable public static var abortedByPowerLoss: NVMeStatus {
    NVMeStatus(type: 0, code: 0x05, doNotRetry: false)
  }
  /// Internal Error.
  @inlinable public static var internalError: NVMeStatus {
    NVMeStatus(type: 0, code: 0x06, doNotRetry: false)
  }
  /// Command Abort Requested.
  @inlinable public static var abortRequested: NVMeStatus {
    NVMeStatus(type: 0, code: 0x07, doNotRetry: false)
  }
  /// Command Aborted due to SQ Deletion.
  @inlinable public static var abortedByQueueDeletion: NVMeStatus {
    NVMeStatus(type: 0, code: 0x08, doNotRetry: false)
  }
  /// Command Aborted due to Failed Fused Command.
  @inlinable public static var failedFusedCommand: NVMeStatus { NVMeStatus(type: 0, code: 0x09) }
  /// Command Aborted due to Missing Fused Command.
  @inlinable public static var missingFusedCommand: NVMeStatus { NVMeStatus(type: 0, code: 0x0a) }
  /// Invalid Namespace or Format.
  @inlinable public static var invalidNamespaceOrFormat: NVMeStatus {
    NVMeStatus(type: 0, code: 0x0b)
  }
  /// Command Sequence Error.
  @inlinable public static var commandSequenceError: NVMeStatus { NVMeStatus(type: 0, code: 0x0c) }
  /// Invalid SGL Segment Descriptor.
  @inlinable public static var invalidSGLSegmentDescriptor: NVMeStatus {
    NVMeStatus(type: 0, code: 0x0d)
  }
  /// Invalid Number of SGL Descriptors.
  @inlinable public static var invalidSGLDescriptorCount: NVMeStatus {
    NVMeStatus(type: 0, code: 0x0e)
  }
  /// Data SGL Length Invalid.
  @inlinable public static var invalidDataSGLLength: NVMeStatus { NVMeStatus(type: 0, code: 0x0f) }
  /// Metadata SGL Length Invalid.
  @inlinable public static var invalidMetadataSGLLength: NVMeStatus {
    NVMeStatus(type: 0, code: 0x10)
  }
  /// SGL Descriptor Type Invalid.
  @inlinable public static var invalidSGLDescriptorType: NVMeStatus {
    NVMeStatus(type: 0, code: 0x11)
  }
  /// Invalid Use of Controller Memory Buffer.
  @inlinable public static var invalidControllerMemoryUse: NVMeStatus {
    NVMeStatus(type: 0, code: 0x12)
  }
  /// PRP Offset Invalid.
  @inlinable public static var invalidPRPOffset: NVMeStatus { NVMeStatus(type: 0, code: 0x13) }
  /// Atomic Write Unit Exceeded.
  @inlinable public static var atomicWriteUnitExceeded: NVMeStatus {
    NVMeStatus(type: 0, code: 0x14)
  }
  /// Operation Denied.
  @inlinable public static var operationDenied: NVMeStatus { NVMeStatus(type: 0, code: 0x15) }
  /// SGL Offset Invalid.
  @inlinable public static var invalidSGLOffset: NVMeStatus { NVMeStatus(type: 0, code: 0x16) }
  /// Keep Alive Timer Expired.
  @inlinable public static var keepAliveTimerExpired: NVMeStatus { NVMeStatus(type: 0, code: 0x19) }
  /// SGL Data Block Granularity Invalid.
  @inlinable public static var invalidSGLDataBlockGranularity: NVMeStatus {
    NVMeStatus(type: 0, code: 0x1e)
  }
  /// Namespace is Write Protected.
  @inlinable public static var namespaceWriteProtected: NVMeStatus {
    NVMeStatus(type: 0, code: 0x20)
  }
  /// Command Interrupted.
  @inlinable public static var commandInterrupted: NVMeStatus {
    NVMeStatus(type: 0, code: 0x21, doNotRetry: false)
  }
  /// LBA Out of Range.
  @inlinable public static var blockOutOfRange: NVMeStatus { NVMeStatus(type: 0, code: 0x80) }
  /// Capacity Exceeded.
  @inlinable public static var capacityExceeded: NVMeStatus { NVMeStatus(type: 0, code: 0x81) }
  /// Namespace Not Ready.
  @inlinable public static var namespaceNotReady: NVMeStatus {
    NVMeStatus(type: 0, code: 0x82, doNotRetry: false)
  }
  /// Reservation Conflict.
  @inlinable public static var reservationConflict: NVMeStatus { NVMeStatus(type: 0, code: 0x83) }
  /// Format In Progress.
  @inlinable public static var formatInProgress: NVMeStatus {
    NVMeStatus(type: 0, code: 0x84, doNotRetry: false)
  }
}

// MARK: Command specific status

extension NVMeStatus {
  /// Completion Queue Invalid.
  @inlinable public static var invalidCompletionQueue: NVMeStatus {
    NVMeStatus(type: 1, code: 0x00)
  }
  /// Invalid Queue Identifier.
  @inlinable public static var invalidQueueIdentifier: NVMeStatus {
    NVMeStatus(type: 1, code: 0x01)
  }
  /// Invalid Queue Size.
  @inlinable public static var invalidQueueSize: NVMeStatus { NVMeStatus(type: 1, code: 0x02) }
  /// Abort Command Limit Exceeded.
  @inlinable public static var abortLimitExceeded: NVMeStatus {
    NVMeStatus(type: 1, code: 0x03, doNotRetry: false)
  }
  /// Asynchronous Event Request Limit Exceeded.
  @inlinable public static var asynchronousEventRequestLimitExceeded: NVMeStatus {
    NVMeStatus(
      type: 1, code: 0x05, doNotRetry: false)
  }
  /// Invalid Firmware Slot.
  @inlinable public static var invalidFirmwareSlot: NVMeStatus { NVMeStatus(type: 1, code: 0x06) }
  /// Invalid Firmware Image.
  @inlinable public static var invalidFirmwareImage: NVMeStatus { NVMeStatus(type: 1, code: 0x07) }
  /// Invalid Interrupt Vector.
  @inlinable public static var invalidInterruptVector: NVMeStatus {
    NVMeStatus(type: 1, code: 0x08)
  }
  /// Invalid Log Page.
  @inlinable public static var invalidLogPage: NVMeStatus { NVMeStatus(type: 1, code: 0x09) }
  /// Invalid Format.
  @inlinable public static var invalidFormat: NVMeStatus { NVMeStatus(type: 1, code: 0x0a) }
  /// Invalid Queue Deletion.
  @inlinable public static var invalidQueueDeletion: NVMeStatus { NVMeStatus(type: 1, code: 0x0c) }
  /// Feature Identifier Not Saveable.
  @inlinable public static var featureNotSaveable: NVMeStatus { NVMeStatus(type: 1, code: 0x0d) }
  /// Feature Not Changeable.
  @inlinable public static var featureNotChangeable: NVMeStatus { NVMeStatus(type: 1, code: 0x0e) }
  /// Feature Not Namespace Specific.
  @inlinable public static var featureNotNamespaceSpecific: NVMeStatus {
    NVMeStatus(type: 1, code: 0x0f)
  }
  /// Conflicting Attributes.
  @inlinable public static var conflictingAttributes: NVMeStatus { NVMeStatus(type: 1, code: 0x80) }
  /// Invalid Protection Information.
  @inlinable public static var invalidProtectionInformation: NVMeStatus {
    NVMeStatus(type: 1, code: 0x81)
  }
  /// Attempted Write to Read Only Range.
  @inlinable public static var writeToReadOnlyRange: NVMeStatus { NVMeStatus(type: 1, code: 0x82) }
  /// Command Size Limit Exceeded.
  @inlinable public static var commandSizeLimitExceeded: NVMeStatus {
    NVMeStatus(type: 1, code: 0x83)
  }
}

// MARK: Media and data integrity errors

extension NVMeStatus {
  /// Write Fault.
  @inlinable public static var writeFault: NVMeStatus {
    NVMeStatus(type: 2, code: 0x80, doNotRetry: false)
  }
  /// Unrecovered Read Error.
  @inlinable public static var unrecoveredReadError: NVMeStatus {
    NVMeStatus(type: 2, code: 0x81, doNotRetry: false)
  }
  /// Compare Failure.
  @inlinable public static var compareFailure: NVMeStatus { NVMeStatus(type: 2, code: 0x85) }
  /// Access Denied.
  @inlinable public static var accessDenied: NVMeStatus { NVMeStatus(type: 2, code: 0x86) }
  /// Deallocated or Unwritten Logical Block.
  @inlinable public static var deallocatedBlock: NVMeStatus { NVMeStatus(type: 2, code: 0x87) }
}
