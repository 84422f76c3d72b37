extension PCIHardware {
  /// Checks that such hardware can exist.
  ///
  /// - Throws: ``PCIHardwareError`` for the first mistake found.
  public func validate() throws(PCIHardwareError) {
    guard identity.vendor != 0xffff else {
      throw PCIHardwareError(.badIdentity, "vendor 0xffff means that no device is present")
    }
    try validateBARs()
    try validateContents()
    try validateInterrupts()
    if let expansionROM {
      guard !expansionROM.image.isEmpty, expansionROM.image.count <= 16 << 20 else {
        throw PCIHardwareError(
          .badExpansionROM,
          "expansion ROM: \(expansionROM.image.count) bytes; an image has 1 byte to 16 MiB")
      }
    }
    // Laying the capabilities out finds every mistake that they can have.
    _ = try PCIConfigurationLayout(hardware: self)
  }

  private func validateBARs() throws(PCIHardwareError) {
    var taken: Set<Int> = []
    for bar in bars {
      guard (0...5).contains(bar.index) else {
        throw PCIHardwareError(.badBARIndex, "BAR \(bar.index): the index must be 0 to 5")
      }
      guard !bar.kind.is64Bit || bar.index < 5 else {
        throw PCIHardwareError(.badBARIndex, "BAR 5: a 64-bit BAR needs a second register")
      }
      for index in bar.index...(bar.kind.is64Bit ? bar.index + 1 : bar.index) {
        guard taken.insert(index).inserted else {
          throw PCIHardwareError(
            .badBARIndex, "BAR \(bar.index): register \(index) is taken by another BAR")
        }
      }
      let minimum: UInt64 = bar.kind.isMemory ? 16 : 4
      let maximum: UInt64 =
        bar.kind.is64Bit ? 1 << 62 : bar.kind.isMemory ? 1 << 31 : 1 << 16
      guard bar.byteCount.nonzeroBitCount == 1 else {
        throw PCIHardwareError(
          .badBARSize, "BAR \(bar.index): \(bar.byteCount) bytes is not a power of two")
      }
      guard (minimum...maximum).contains(bar.byteCount) else {
        throw PCIHardwareError(
          .badBARSize,
          "BAR \(bar.index): \(bar.byteCount) bytes is not from \(minimum) to \(maximum)")
      }
    }
  }

  private func validateContents() throws(PCIHardwareError) {
    for bar in bars {
      let ranges = occupied(in: bar).sorted { $0.offset < $1.offset }
      var end: UInt64 = 0
      var previous = ""
      for range in ranges {
        let (last, overflow) = range.offset.addingReportingOverflow(range.byteCount)
        guard range.byteCount > 0, !overflow, last <= bar.byteCount else {
          throw PCIHardwareError(
            .badContent,
            "BAR \(bar.index): \(range.name) does not fit (\(range.byteCount) bytes at offset"
              + " \(range.offset) of \(bar.byteCount))")
        }
        guard range.offset >= end else {
          throw PCIHardwareError(
            .badContent, "BAR \(bar.index): \(range.name) overlaps \(previous)")
        }
        end = last
        previous = range.name
      }
      for content in bar.contents {
        guard case .sharedMemory = content.kind else { continue }
        guard content.offset % 4096 == 0, content.byteCount % 4096 == 0 else {
          throw PCIHardwareError(
            .badContent,
            "BAR \(bar.index): \(content.name) is mapped in pages; its offset and size must be"
              + " multiples of 4096")
        }
      }
      for content in bar.contents { try content.validate(content.paths, bar: bar.index) }
      let names = bar.contents.map(\.name)
      guard Set(names).count == names.count else {
        throw PCIHardwareError(.badContent, "BAR \(bar.index): two contents have the same name")
      }
    }
  }

  /// What lies in a BAR: its contents, the MSI-X table and the pending bit array.
  private func occupied(in bar: BAR) -> [(name: String, offset: UInt64, byteCount: UInt64)] {
    var ranges = bar.contents.map { ($0.name, $0.offset, $0.byteCount) }
    if let msix = interrupts.msix {
      if msix.table.bar == bar.index {
        ranges.append(("the MSI-X table", msix.table.offset, UInt64(msix.tableByteCount)))
      }
      if msix.pendingBits.bar == bar.index {
        ranges.append(
          (
            "the MSI-X pending bit array", msix.pendingBits.offset,
            UInt64(msix.pendingBitsByteCount)
          ))
      }
    }
    return ranges.map { (name: $0.0, offset: $0.1, byteCount: $0.2) }
  }

  private func validateInterrupts() throws(PCIHardwareError) {
    if let msi = interrupts.msi {
      guard (1...32).contains(msi.vectorCount), msi.vectorCount.nonzeroBitCount == 1 else {
        throw PCIHardwareError(
          .badVectorCount, "MSI: \(msi.vectorCount) vectors; it must be 1, 2, 4, 8, 16 or 32")
      }
    }
    guard let msix = interrupts.msix else { return }
    guard (1...2048).contains(msix.vectorCount) else {
      throw PCIHardwareError(
        .badVectorCount, "MSI-X: \(msix.vectorCount) vectors; it must be 1 to 2048")
    }
    for (name, place) in [("table", msix.table), ("pending bit array", msix.pendingBits)] {
      guard let bar = bar(place.bar), bar.kind.isMemory else {
        throw PCIHardwareError(
          .badMSIXPlace, "MSI-X: the \(name) is in BAR \(place.bar), which is no memory BAR")
      }
      guard place.offset % 8 == 0, place.offset <= UInt64(UInt32.max) else {
        throw PCIHardwareError(
          .badMSIXPlace,
          "MSI-X: the \(name) is at offset \(place.offset), which is not a multiple of 8"
            + " below 4 GiB")
      }
    }
  }
}
