import DeviceModel

/// Doorbells that a driver keeps in its own memory, and how far it may go without ringing.
///
/// Source: NVMe 1.4, section 7.13.
struct ShadowDoorbells {
  /// Where the driver writes tails and heads.
  let values: DMAWindow
  /// Where the controller says which value it wants to be told of.
  let eventIndexes: DMAWindow

  init?(_ engine: DMAEngine, _ buffers: ShadowDoorbellBuffers) {
    guard let first = DMARange(address: buffers.values, byteCount: buffers.byteCount),
      let second = DMARange(address: buffers.eventIndexes, byteCount: buffers.byteCount)
    else { return nil }
    values = DMAWindow(engine, first)
    eventIndexes = DMAWindow(engine, second)
  }
}

/// Where a driver has put its shadow doorbells: one page each.
struct ShadowDoorbellBuffers: Sendable {
  var values: DMAAddress
  var eventIndexes: DMAAddress
  /// The size of each in bytes: a memory page.
  var byteCount: UInt64
}
