import VFIOUser

/// Where the parts of a script lie in a guest's memory, for one CPU.
///
/// Source: Guests/AccessScript.s.
public struct AccessScriptPlacement: Hashable, Sendable {
  /// The CPU's workspace: its interrupt table, counters and stack; aligned to its size.
  public var workspace: GuestAddress
  /// The table of operations.
  public var table: GuestAddress
  /// The most bytes that the table may have.
  public var tableByteCount: Int
  /// The results, 8 bytes each.
  public var results: GuestAddress
  /// How many results there is room for.
  public var resultCount: Int

  /// A workspace's size in bytes.
  public static let workspaceByteCount = 0x4000
  /// Where a workspace counts how often each vector was taken, 4 bytes each.
  static let countersOffset: UInt64 = 0x800

  /// The places that this package uses: workspaces from 64 KiB on, tables and results from 2 MiB on.
  ///
  /// - Parameter cpu: the CPU's number, 0 to 15.
  public static func standard(cpu: Int = 0) -> AccessScriptPlacement {
    precondition((0..<16).contains(cpu), "scripts have room for 16 CPUs")
    let table = 0x20_0000 + UInt64(cpu) * 0x8_0000
    return AccessScriptPlacement(
      workspace: GuestAddress(0x1_0000 + UInt64(cpu) * UInt64(workspaceByteCount)),
      table: GuestAddress(table), tableByteCount: 0x4_0000,
      results: GuestAddress(table + 0x4_0000), resultCount: 0x4_0000 / 8)
  }

  /// How much memory from address 0 on the standard places of so many CPUs and the program need.
  public static func memoryByteCount(cpuCount: Int) -> Int { 0x20_0000 + cpuCount * 0x8_0000 }

  /// What the CPU begins with.
  public var registers: CPURegisters {
    let top = workspace.rawValue + UInt64(Self.workspaceByteCount)
    var registers = CPURegisters(
      instruction: UInt32(truncatingIfNeeded: GuestProgram.address.rawValue),
      stack: UInt32(truncatingIfNeeded: top))
    registers.ebx = UInt32(truncatingIfNeeded: workspace.rawValue)
    registers.esi = UInt32(truncatingIfNeeded: table.rawValue)
    registers.edi = UInt32(truncatingIfNeeded: results.rawValue)
    return registers
  }
}
