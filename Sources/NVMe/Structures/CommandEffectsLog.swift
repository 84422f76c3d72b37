/// The Commands Supported and Effects log, LID 05h.
///
/// Source: NVMe 1.4, figure 198.
public struct CommandEffectsLog: NVMeStructure {
  /// What carrying out a command may change.
  public struct Effects: OptionSet, Hashable, Sendable {
    /// Bits of the data structure.
    public let rawValue: UInt32
    /// The effects with these bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// Command Supported (CSUPP).
    public static let supported = Effects(rawValue: 1)
    /// Logical Block Content Change (LBCC).
    public static let changesBlocks = Effects(rawValue: 2)
    /// Namespace Capability Change (NCC).
    public static let changesNamespace = Effects(rawValue: 4)
    /// Command Submission and Execution (CSE): no other command to the namespace meanwhile.
    public static let excludesOthers = Effects(rawValue: 1 << 16)
  }

  /// The structure's size in bytes.
  public static let byteCount = 4096
  /// The bytes.
  public var bytes = [UInt8](repeating: 0, count: byteCount)

  /// A structure of zeros: no command is supported.
  public init() {}

  /// What an admin command does.
  public subscript(opcode: AdminOpcode) -> Effects {
    get { Effects(rawValue: load(Int(opcode.rawValue) * 4)) }
    set { store(newValue.rawValue, Int(opcode.rawValue) * 4) }
  }

  /// What an I/O command does.
  public subscript(opcode: IOOpcode) -> Effects {
    get { Effects(rawValue: load(1024 + Int(opcode.rawValue) * 4)) }
    set { store(newValue.rawValue, 1024 + Int(opcode.rawValue) * 4) }
  }
}
