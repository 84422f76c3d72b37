/// One command as a host puts it into a submission queue: 64 bytes.
///
/// A copy: a device reads it once from guest memory, checks it, and uses nothing but the copy.
///
/// Source: NVMe 1.4, section 4.2 and figure 105.
@frozen
public struct SubmissionQueueEntry: Sendable {
  /// The size in bytes.
  public static let byteCount = 64

  /// The entry as eight little-endian words of 64 bits.
  public var words: [8 of UInt64]

  /// An entry of zeros.
  @inlinable
  public init() { words = .init(repeating: 0) }

  /// The entry that consists of these words, the first one first.
  @inlinable
  public init(words: [8 of UInt64]) { self.words = words }

  /// Opcode (OPC), bits 7:0 of Command Dword 0.
  @inlinable public var opcode: UInt8 {
    get { UInt8(truncatingIfNeeded: words[0]) }
    set { words[0] = words[0] & ~0xff | UInt64(newValue) }
  }

  /// Fused Operation (FUSE), bits 9:8 of Command Dword 0: 0 for a command by itself.
  @inlinable public var fusedOperation: UInt8 { UInt8(truncatingIfNeeded: words[0] >> 8) & 0x3 }

  /// PRP or SGL for Data Transfer (PSDT), bits 15:14 of Command Dword 0: 0 says PRPs.
  @inlinable public var dataPointerKind: UInt8 {
    get { UInt8(truncatingIfNeeded: words[0] >> 14) & 0x3 }
    set { words[0] = words[0] & ~0xc000 | UInt64(newValue & 3) << 14 }
  }

  /// Command Identifier (CID), bits 31:16 of Command Dword 0.
  @inlinable public var commandIdentifier: UInt16 {
    get { UInt16(truncatingIfNeeded: words[0] >> 16) }
    set { words[0] = words[0] & ~0xffff_0000 | UInt64(newValue) << 16 }
  }

  /// Namespace Identifier (NSID).
  @inlinable public var namespaceIdentifier: UInt32 {
    get { UInt32(truncatingIfNeeded: words[0] >> 32) }
    set { words[0] = words[0] & 0xffff_ffff | UInt64(newValue) << 32 }
  }

  /// Metadata Pointer (MPTR).
  @inlinable public var metadataPointer: UInt64 {
    get { words[2] }
    set { words[2] = newValue }
  }

  /// PRP Entry 1, or the first half of an SGL descriptor.
  @inlinable public var prp1: UInt64 {
    get { words[3] }
    set { words[3] = newValue }
  }

  /// PRP Entry 2, or the second half of an SGL descriptor.
  @inlinable public var prp2: UInt64 {
    get { words[4] }
    set { words[4] = newValue }
  }

  /// Command Dword 10.
  @inlinable public var dword10: UInt32 {
    get { UInt32(truncatingIfNeeded: words[5]) }
    set { words[5] = words[5] & ~0xffff_ffff | UInt64(newValue) }
  }

  /// Command Dword 11.
  @inlinable public var dword11: UInt32 {
    get { UInt32(truncatingIfNeeded: words[5] >> 32) }
    set { words[5] = words[5] & 0xffff_ffff | UInt64(newValue) << 32 }
  }

  /// Command Dword 12.
  @inlinable public var dword12: UInt32 {
    get { UInt32(truncatingIfNeeded: words[6]) }
    set { words[6] = words[6] & ~0xffff_ffff | UInt64(newValue) }
  }

  /// Command Dword 13.
  @inlinable public var dword13: UInt32 {
    get { UInt32(truncatingIfNeeded: words[6] >> 32) }
    set { words[6] = words[6] & 0xffff_ffff | UInt64(newValue) << 32 }
  }

  /// Command Dword 14.
  @inlinable public var dword14: UInt32 {
    get { UInt32(truncatingIfNeeded: words[7]) }
    set { words[7] = words[7] & ~0xffff_ffff | UInt64(newValue) }
  }

  /// Command Dword 15.
  @inlinable public var dword15: UInt32 {
    get { UInt32(truncatingIfNeeded: words[7] >> 32) }
    set { words[7] = words[7] & 0xffff_ffff | UInt64(newValue) << 32 }
  }

  /// Starting LBA (SLBA) of the commands that move blocks: Command Dwords 10 and 11.
  @inlinable public var startingBlock: UInt64 {
    get { words[5] }
    set { words[5] = newValue }
  }

  /// The number of blocks that a command moves: Number of Logical Blocks (NLB) plus one, 1 to 65,536.
  @inlinable public var blockCount: Int {
    get { Int(words[6] & 0xffff) + 1 }
    set { words[6] = words[6] & ~0xffff | UInt64(newValue - 1) & 0xffff }
  }

  /// Force Unit Access (FUA), bit 30 of Command Dword 12.
  @inlinable public var forcesUnitAccess: Bool {
    get { words[6] & 0x4000_0000 != 0 }
    set { words[6] = words[6] & ~0x4000_0000 | (newValue ? 0x4000_0000 : 0) }
  }
}
