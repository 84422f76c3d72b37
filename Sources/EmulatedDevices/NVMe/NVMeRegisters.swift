import DeviceModel
import NVMe

/// The registers of an NVMe controller, at the start of BAR 0; doorbells follow in a page of their own.
///
/// Source: NVMe 1.4, section 3.1.
public enum NVMeRegister: Int, RegisterMap {
  /// Controller Capabilities.
  case capabilities
  /// Version.
  case version
  /// Interrupt Mask Set.
  case interruptMaskSet
  /// Interrupt Mask Clear.
  case interruptMaskClear
  /// Controller Configuration.
  case configuration
  /// Controller Status.
  case status
  /// NVM Subsystem Reset.
  case subsystemReset
  /// Admin Queue Attributes.
  case adminQueueAttributes
  /// Admin Submission Queue Base Address.
  case adminSubmissionQueue
  /// Admin Completion Queue Base Address.
  case adminCompletionQueue
  /// Controller Memory Buffer Location.
  case memoryBufferLocation
  /// Controller Memory Buffer Size.
  case memoryBufferSize

  /// What the register is.
  public var declaration: Register {
    switch self {
    case .capabilities:
      Register(
        "CAP", "Controller Capabilities", at: 0x00, bytes: 8, .readOnly,
        "What the controller can do; MQES follows from the knob queue-depth.",
        [
          Field("MQES", 0...15, "Maximum Queue Entries Supported, minus one."),
          Field("CQR", 16...16, "Contiguous Queues Required."),
          Field("TO", 24...31, "Timeout for changes of CSTS.RDY, in units of 500 ms."),
          Field("DSTRD", 32...35, "Doorbell Stride: doorbells are 4 bytes apart."),
          Field("NSSRS", 36...36, "NVM Subsystem Reset Supported."),
          Field("CSS", 37...44, "Command Sets Supported: the NVM command set."),
          Field("MPSMIN", 48...51, "Memory Page Size Minimum, as a power of two of 4 KiB."),
          Field("MPSMAX", 52...55, "Memory Page Size Maximum, as a power of two of 4 KiB."),
        ])
    case .version:
      Register(
        "VS", "Version", at: 0x08, bytes: 4, .readOnly, reset: 0x0001_0400,
        "The version of the specification: 1.4.")
    case .interruptMaskSet:
      Register(
        "INTMS", "Interrupt Mask Set", at: 0x0c, bytes: 4, .writeOneToSet,
        effects: [.read, .write],
        "Ones written mask vectors, when MSI-X is not in use. Reads the mask.")
    case .interruptMaskClear:
      Register(
        "INTMC", "Interrupt Mask Clear", at: 0x10, bytes: 4, .writeOneToClear,
        effects: [.read, .write],
        "Ones written unmask vectors, when MSI-X is not in use. Reads the mask.")
    case .configuration:
      Register(
        "CC", "Controller Configuration", at: 0x14, bytes: 4, .readWrite, effects: .write,
        "Enables the controller, notifies of a shutdown, and says how queues and pages are laid out.",
        [
          Field("EN", 0...0, "Enable."),
          Field("CSS", 4...6, "I/O Command Set Selected: 0."),
          Field("MPS", 7...10, "Memory Page Size, as a power of two of 4 KiB."),
          Field("AMS", 11...13, "Arbitration Mechanism Selected: 0."),
          Field("SHN", 14...15, "Shutdown Notification: 1 normal, 2 abrupt."),
          Field("IOSQES", 16...19, "I/O Submission Queue Entry Size: 6."),
          Field("IOCQES", 20...23, "I/O Completion Queue Entry Size: 4."),
        ])
    case .status:
      Register(
        "CSTS", "Controller Status", at: 0x1c, bytes: 4, .readOnly,
        "What state the controller is in.",
        [
          Field("RDY", 0...0, "Ready."),
          Field("CFS", 1...1, "Controller Fatal Status: only a reset helps."),
          Field("SHST", 2...3, "Shutdown Status: 1 going on, 2 complete."),
          Field("NSSRO", 4...4, .writeOneToClear, "NVM Subsystem Reset Occurred."),
          Field("PP", 5...5, "Processing Paused."),
        ])
    case .subsystemReset:
      Register(
        "NSSR", "NVM Subsystem Reset", at: 0x20, bytes: 4, .writeOnly, effects: .write,
        "Writing 0x4e564d65 (\"NVMe\") resets the subsystem. Reads 0.")
    case .adminQueueAttributes:
      Register(
        "AQA", "Admin Queue Attributes", at: 0x24, bytes: 4, .readWrite,
        "The sizes of the admin queues.",
        [
          Field("ASQS", 0...11, "Admin Submission Queue Size, in entries minus one."),
          Field("ACQS", 16...27, "Admin Completion Queue Size, in entries minus one."),
        ])
    case .adminSubmissionQueue:
      Register(
        "ASQ", "Admin Submission Queue Base Address", at: 0x28, bytes: 8, .readWrite,
        "Where the admin submission queue lies, aligned to a memory page.")
    case .adminCompletionQueue:
      Register(
        "ACQ", "Admin Completion Queue Base Address", at: 0x30, bytes: 8, .readWrite,
        "Where the admin completion queue lies, aligned to a memory page.")
    case .memoryBufferLocation:
      Register(
        "CMBLOC", "Controller Memory Buffer Location", at: 0x38, bytes: 4, .readOnly,
        "0: there is no controller memory buffer.")
    case .memoryBufferSize:
      Register(
        "CMBSZ", "Controller Memory Buffer Size", at: 0x3c, bytes: 4, .readOnly,
        "0: there is no controller memory buffer.")
    }
  }
}
