/// Checked declarations of a block, laid out as the tables that serve accesses.
struct RegisterPlan {
  let name: String
  let declarations: [Register]
  let byteCount: Int
  /// Bytes that the index covers: up to the end of the last register.
  let indexedByteCount: Int
  var slots: [RegisterSlot] = []
  /// For each declaration its first slot.
  var firstSlots: [Int] = []
  /// For each bank the slot of each byte for reads, then for writes.
  var index: [UInt16] = []

  /// The largest block extent: the index takes 4 bytes a byte and bank.
  static let maximumIndexedByteCount = 1 << 24

  init(name: String, declarations: [Register], byteCount: Int?) throws(DeclarationError) {
    self.name = name
    self.declarations = declarations
    var end = 0
    var acronyms: Set<String> = []
    var slotCount = 0
    var bankCount = 1
    for register in declarations {
      try register.check(in: name)
      guard acronyms.insert(register.acronym).inserted else {
        throw DeclarationError("\(name): two registers are called \(register.acronym)")
      }
      slotCount += register.count
      end = max(end, register.endOffset)
      if let bank = register.bank { bankCount = max(bankCount, bank.index + 1) }
    }
    guard slotCount < Int(RegisterSlot.none) else {
      throw DeclarationError("\(name): \(slotCount) registers are more than 65534")
    }
    guard end <= Self.maximumIndexedByteCount else {
      throw DeclarationError("\(name): registers end at \(hexadecimal(end)), above 16 MiB")
    }
    if let byteCount, end > byteCount {
      throw DeclarationError(
        "\(name): registers end at \(hexadecimal(end)), outside its \(byteCount) bytes")
    }
    self.byteCount = byteCount ?? end
    indexedByteCount = end
    index = Array(repeating: RegisterSlot.none, count: bankCount * 2 * end)
    for (number, register) in declarations.enumerated() {
      firstSlots.append(slots.count)
      for element in 0..<register.count { slots.append(register.slot(number, element)) }
    }
    for bank in 0..<bankCount { try place(in: bank) }
  }

  /// Enters the registers that `bank` shows into its part of the index.
  private mutating func place(in bank: Int) throws(DeclarationError) {
    let reads = bank * 2 * indexedByteCount
    let writes = reads + indexedByteCount
    for (number, slot) in slots.enumerated() {
      let register = declarations[Int(slot.register)]
      guard (register.bank?.index ?? bank) == bank else { continue }
      let bytes = Int(slot.offset)..<Int(slot.offset) + Int(slot.byteCount)
      if register.claimsReads { try claim(bytes, number, base: reads, "reads", bank) }
      if register.claimsWrites { try claim(bytes, number, base: writes, "writes", bank) }
    }
    // A register that stands alone at its offset answers the other direction too.
    for byte in 0..<indexedByteCount {
      if index[reads + byte] == RegisterSlot.none {
        index[reads + byte] = index[writes + byte]
      } else if index[writes + byte] == RegisterSlot.none {
        index[writes + byte] = index[reads + byte]
      }
    }
  }

  private mutating func claim(
    _ bytes: Range<Int>, _ number: Int, base: Int, _ direction: String, _ bank: Int
  ) throws(DeclarationError) {
    for byte in bytes {
      let holder = index[base + byte]
      guard holder == RegisterSlot.none else {
        throw DeclarationError(
          "\(name): \(acronym(Int(holder))) and \(acronym(number)) overlap for \(direction)"
            + " at \(hexadecimal(byte)) in bank \(bank)")
      }
      index[base + byte] = UInt16(number)
    }
  }

  private func acronym(_ slot: Int) -> String {
    declarations[Int(slots[slot].register)].acronym(element: Int(slots[slot].element))
  }
}

extension Register {
  /// The first byte after the register, or after the last element of the array.
  var endOffset: Int { offset + (count - 1) * (array?.strideByteCount ?? 0) + byteCount }

  /// Whether it needs the reads at its offset, so that no other register can have them.
  var claimsReads: Bool { mask(of: .writeOnly) != widthMask || effects.contains(.read) }

  /// Whether it needs the writes at its offset.
  var claimsWrites: Bool {
    (mask(of: .readOnly) | mask(of: .readToClear)) != widthMask || effects.contains(.write)
  }

  func slot(_ register: Int, _ element: Int) -> RegisterSlot {
    RegisterSlot(
      offset: UInt32(offset + element * (array?.strideByteCount ?? 0)),
      byteCount: UInt8(byteCount), hasReadEffect: effects.contains(.read),
      hasWriteEffect: effects.contains(.write), isSticky: survivesReset, register: Int32(register),
      element: Int32(element), readable: widthMask & ~mask(of: .writeOnly),
      writable: mask(of: .readWrite) | mask(of: .writeOnly),
      oneToClear: mask(of: .writeOneToClear), oneToSet: mask(of: .writeOneToSet),
      readToClear: mask(of: .readToClear), widthMask: widthMask, resetValue: resetValue)
  }

  /// Checks what can be said of this declaration by itself.
  func check(in block: String) throws(DeclarationError) {
    guard !acronym.isEmpty else {
      throw DeclarationError("\(block): the register at \(hexadecimal(offset)) has no acronym")
    }
    let subject = "\(block): \(acronym)"
    guard !name.isEmpty else { throw DeclarationError("\(subject) has no name") }
    guard !description.isBlank else { throw DeclarationError("\(subject) has no description") }
    guard [1, 2, 4, 8].contains(byteCount) else {
      throw DeclarationError("\(subject) is \(byteCount) bytes wide; 1, 2, 4 and 8 are possible")
    }
    let alignment = min(byteCount, 4)
    guard (0...RegisterPlan.maximumIndexedByteCount).contains(offset) else {
      throw DeclarationError("\(subject) is at \(offset), outside 0 to 16 MiB")
    }
    guard offset % alignment == 0 else {
      throw DeclarationError(
        "\(subject) is at \(hexadecimal(offset)), not a multiple of \(alignment)")
    }
    guard resetValue & ~widthMask == 0 else {
      throw DeclarationError(
        "\(subject): reset value \(hexadecimal(resetValue)) needs more than \(byteCount) bytes")
    }
    if let array {
      guard (1...65534).contains(array.count) else {
        throw DeclarationError("\(subject): \(array.count) elements; 1 to 65534 are possible")
      }
      guard (byteCount...RegisterPlan.maximumIndexedByteCount).contains(array.strideByteCount),
        array.strideByteCount % alignment == 0
      else {
        throw DeclarationError(
          "\(subject): a stride of \(array.strideByteCount) bytes does not fit \(byteCount) bytes")
      }
    }
    if let bank {
      guard (0...RegisterBank.maximumIndex).contains(bank.index) else {
        throw DeclarationError("\(subject) is in bank \(bank.index); 0 to 15 are possible")
      }
      guard !bank.condition.isBlank else {
        throw DeclarationError("\(subject): bank \(bank.index) does not say when it is visible")
      }
    }
    try checkFields(subject)
  }

  private func checkFields(_ subject: String) throws(DeclarationError) {
    var names: Set<String> = []
    var covered: UInt64 = 0
    for field in fields {
      guard !field.name.isEmpty else { throw DeclarationError("\(subject): a field has no name") }
      guard names.insert(field.name).inserted else {
        throw DeclarationError("\(subject): two fields are called \(field.name)")
      }
      guard !field.description.isBlank else {
        throw DeclarationError("\(subject): field \(field.name) has no description")
      }
      guard field.bits.lowerBound >= 0, field.bits.upperBound < byteCount * 8 else {
        throw DeclarationError(
          "\(subject): field \(field.name) covers bits \(field.bits.lowerBound) to"
            + " \(field.bits.upperBound) of \(byteCount * 8)")
      }
      guard covered & field.mask == 0 else {
        throw DeclarationError("\(subject): field \(field.name) overlaps another")
      }
      covered |= field.mask
    }
  }
}
