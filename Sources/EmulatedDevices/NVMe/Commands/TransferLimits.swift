/// What one command may move.
struct TransferLimits: Sendable {
  /// Maximum Data Transfer Size (MDTS) as a power of two, in units of the smallest memory page.
  var transferShift: UInt8 = 8
  /// Maximum Data Transfer Size in bytes.
  var transferByteCount: Int { 4096 << Int(transferShift) }
  /// Maximum Single Source Range Length (MSSRL) of Copy, in blocks.
  let copyRangeBlockCount = 4096
  /// Maximum Copy Length (MCL), in blocks.
  let copyBlockCount = 16_384
  /// Maximum Source Range Count (MSRC) of Copy, as a count.
  let copyRangeCount = 128
  /// How many descriptors an SGL may have in all.
  let descriptorCount = 1024
}
