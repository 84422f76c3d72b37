import VFIOUser

/// The registers of one address range: storage, access rules and one effect closure.
///
/// This is the untyped side, which buses, traces and saved state use; devices use the typed
/// ``RegisterBlock``. A block is a region handler: an access of any width and alignment within the
/// transfer limit does what the declarations say. Values are little-endian in the region's bytes;
/// a bus of another order swaps before it calls.
///
/// Confined to one event loop: all calls, and the effect closure, on the loop that serves the region.
public class AnyRegisterBlock: RegionHandler {
  /// The block's name, for error messages and traces.
  public final let name: String
  /// How many bytes the block spans; bytes without a register read 0 and ignore writes.
  public final let byteCount: Int
  /// What happens to an access that reaches beyond one register.
  public final let wideAccess: WideAccess
  /// Accesses to a register with fewer bytes than this are refused with `Errno.invalidArgument`,
  /// unless they cover the whole register.
  public final let smallestAccess: Int
  /// The declarations, in the order of the map's cases.
  public final let declarations: [Register]

  private final let slots: OwnedTable<RegisterSlot>
  private final let values: OwnedTable<UInt64>
  private final let index: OwnedTable<UInt16>
  private final let firstSlots: OwnedTable<Int>
  private final let indexedByteCount: Int
  private final let bankCount: Int
  /// Where the selected bank's part of the index begins: reads, then writes.
  private final var bankBase = 0
  private final var selectedBank = 0
  private final let effectSlot = EffectSlot()

  /// What a device does when one of its registers is accessed.
  ///
  /// It may change the effect's value, or throw the error that answers the access.
  public typealias Effect = (inout RegisterEffect) throws(Errno) -> Void

  init(_ plan: RegisterPlan, wideAccess: WideAccess, smallestAccess: Int) {
    name = plan.name
    byteCount = plan.byteCount
    declarations = plan.declarations
    self.wideAccess = wideAccess
    self.smallestAccess = smallestAccess
    slots = OwnedTable(plan.slots, else: RegisterSlot())
    values = OwnedTable(plan.slots.map(\.resetValue), else: 0)
    index = OwnedTable(plan.index, else: RegisterSlot.none)
    firstSlots = OwnedTable(plan.firstSlots, else: 0)
    indexedByteCount = plan.indexedByteCount
    bankCount = indexedByteCount == 0 ? 1 : plan.index.count / (2 * indexedByteCount)
  }

  /// Called for each access to a register that declares effects for that direction.
  ///
  /// For a write the value is stored first; when the closure throws, the old value is put back. For
  /// a read the closure may supply the value; after it, bits that a read clears are cleared.
  /// Capture the device as `unowned` or `weak`: the block keeps the closure.
  ///
  /// Set it once, when the device is realised: replaced closures are kept until the block ends.
  public final var effect: Effect? {
    get { effectSlot.effect }
    set { effectSlot.effect = newValue }
  }

  // MARK: - The device's side

  /// The value of a register, by its number in ``declarations``; no effect, no access rule.
  public final func value(of register: Int, element: Int = 0) -> UInt64 {
    values[slotNumber(register, element)]
  }

  /// Sets a register's value; no effect, no access rule; bits beyond its width are dropped.
  public final func setValue(_ value: UInt64, of register: Int, element: Int = 0) {
    let number = slotNumber(register, element)
    values[number] = value & slots[number].widthMask
  }

  @inline(__always)
  private final func slotNumber(_ register: Int, _ element: Int) -> Int {
    let number = firstSlots[register] + element
    // An element outside the array would be another register: a device's error.
    precondition(element >= 0 && slots[number].register == Int32(truncatingIfNeeded: register))
    return number
  }

  /// Makes the registers of `bank` visible, with those that are in every bank.
  ///
  /// Traps when no register declares that bank, unless it is bank 0.
  public final func selectBank(_ bank: RegisterBank) { selectBank(at: bank.index) }

  /// Makes the registers of the bank at `index` visible; 0 is the bank after a reset.
  public final func selectBank(at index: Int) {
    precondition((0..<bankCount).contains(index), "no register is declared in this bank")
    selectedBank = index
    bankBase = index * 2 * indexedByteCount
  }

  /// The index of the bank that is visible.
  public final var selectedBankIndex: Int { selectedBank }

  /// Gives the registers their reset values and selects bank 0; calls no effect.
  ///
  /// - Parameter includingSticky: whether registers that survive a reset are reset as well, as when
  ///   power is applied.
  public final func reset(includingSticky: Bool = false) {
    for number in 0..<slots.count where includingSticky || !slots[number].isSticky {
      values[number] = slots[number].resetValue
    }
    selectBank(at: 0)
  }

  // MARK: - Access

  /// Reads bytes of the block; see ``RegionHandler``.
  ///
  /// - Throws: `Errno.invalidArgument` when the width is refused, or what the effect throws.
  public final func read(
    at offset: RegionOffset, into bytes: inout MutableRawSpan, _ access: AccessContext
  ) throws(Errno) {
    let position = Int(truncatingIfNeeded: offset.rawValue)
    if UInt(bitPattern: position) < UInt(bitPattern: indexedByteCount) {
      let number = Int(index[bankBase + position])
      if number != Int(RegisterSlot.none) {
        let slot = slots[number]
        if Int(slot.offset) == position, Int(slot.byteCount) == bytes.byteCount {
          let value = try readRegister(number, slot, slot.widthMask, access, isWhole: true)
          bytes.storeRegister(value, slot.byteCount)
          return
        }
      }
    }
    try readPieces(at: position, into: &bytes, access)
  }

  /// Writes bytes of the block; see ``RegionHandler``.
  ///
  /// - Throws: `Errno.invalidArgument` when the width is refused, or what the effect throws.
  public final func write(
    at offset: RegionOffset, from bytes: RawSpan, _ access: AccessContext
  ) throws(Errno) {
    let position = Int(truncatingIfNeeded: offset.rawValue)
    if UInt(bitPattern: position) < UInt(bitPattern: indexedByteCount) {
      let number = Int(index[bankBase + indexedByteCount + position])
      if number != Int(RegisterSlot.none) {
        let slot = slots[number]
        if Int(slot.offset) == position, Int(slot.byteCount) == bytes.byteCount {
          let written = bytes.loadRegister(slot.byteCount)
          try writeRegister(number, slot, written, slot.widthMask, access, isWhole: true)
          return
        }
      }
    }
    try writePieces(at: position, from: bytes, access)
  }

  @inline(__always)
  private final func readRegister(
    _ number: Int, _ slot: RegisterSlot, _ mask: UInt64, _ access: AccessContext,
    isWhole: Bool
  ) throws(Errno) -> UInt64 {
    if slot.hasReadEffect {
      let before = values[number]
      var effect = RegisterEffect(
        register: Int(slot.register), element: Int(slot.element), isWrite: false,
        accessedMask: mask, written: 0, oldValue: before, value: before, access: access,
        isWholeAccess: isWhole, readable: slot.readable)
      try effectSlot.call(&effect)
      if effect.value != before { values[number] = effect.value & slot.widthMask }
    }
    let value = values[number]
    if slot.readToClear != 0 { values[number] = value & ~(slot.readToClear & mask) }
    return value & slot.readable
  }

  @inline(__always)
  private final func writeRegister(
    _ number: Int, _ slot: RegisterSlot, _ written: UInt64, _ mask: UInt64,
    _ access: AccessContext, isWhole: Bool
  ) throws(Errno) {
    let before = values[number]
    let writable = slot.writable & mask
    let stored =
      (((before & ~writable) | (written & writable)) & ~(written & slot.oneToClear))
      | (written & slot.oneToSet)
    values[number] = stored
    guard slot.hasWriteEffect else { return }
    var effect = RegisterEffect(
      register: Int(slot.register), element: Int(slot.element), isWrite: true, accessedMask: mask,
      written: written, oldValue: before, value: stored, access: access,
      isWholeAccess: isWhole, readable: slot.readable)
    do {
      try effectSlot.call(&effect)
    } catch {
      if values[number] == stored { values[number] = before }
      throw error
    }
    if effect.value != stored { values[number] = effect.value & slot.widthMask }
  }

  // MARK: - Accesses that are not one whole register

  private final func readPieces(
    at position: Int, into bytes: inout MutableRawSpan, _ access: AccessContext
  ) throws(Errno) {
    try checkWidth(position, bytes.byteCount, directionBase: 0)
    var done = 0
    while done < bytes.byteCount {
      guard let piece = piece(position, done, bytes.byteCount, directionBase: 0) else {
        bytes.storeBytes(of: 0, toByteOffset: done, as: UInt8.self)
        done += 1
        continue
      }
      let slot = slots[piece.slot]
      let value = try readRegister(
        piece.slot, slot, piece.mask, access, isWhole: piece.byteCount == bytes.byteCount)
      for byte in 0..<piece.byteCount {
        bytes.storeBytes(
          of: UInt8(truncatingIfNeeded: value >> (piece.shift + UInt64(byte * 8))),
          toByteOffset: done + byte, as: UInt8.self)
      }
      done += piece.byteCount
    }
  }

  private final func writePieces(
    at position: Int, from bytes: RawSpan, _ access: AccessContext
  ) throws(Errno) {
    try checkWidth(position, bytes.byteCount, directionBase: indexedByteCount)
    var done = 0
    while done < bytes.byteCount {
      guard
        let piece = piece(position, done, bytes.byteCount, directionBase: indexedByteCount)
      else {
        done += 1
        continue
      }
      var written: UInt64 = 0
      for byte in 0..<piece.byteCount {
        written |= UInt64(bytes.byte(at: done + byte)) << UInt64(byte * 8)
      }
      try writeRegister(
        piece.slot, slots[piece.slot], written << piece.shift, piece.mask, access,
        isWhole: piece.byteCount == bytes.byteCount)
      done += piece.byteCount
    }
  }

  /// The part of one register that an access covers.
  private struct Piece {
    var slot: Int
    var byteCount: Int
    /// How far the piece is from the register's bit 0.
    var shift: UInt64
    /// The piece's bits in the register.
    var mask: UInt64
  }

  /// The register at byte `done` of an access, or nil when there is none.
  ///
  /// Looked up anew for each piece: an effect may have selected another bank.
  private final func piece(
    _ position: Int, _ done: Int, _ byteCount: Int, directionBase: Int
  ) -> Piece? {
    let (byte, overflow) = position.addingReportingOverflow(done)
    guard position >= 0, !overflow, byte < indexedByteCount else { return nil }
    let number = index[bankBase + directionBase + byte]
    guard number != RegisterSlot.none else { return nil }
    let slot = slots[Int(number)]
    let skipped = byte - Int(slot.offset)
    let covered = min(Int(slot.byteCount) - skipped, byteCount - done)
    let shift = UInt64(skipped * 8)
    let mask = (UInt64.max >> UInt64(64 - covered * 8)) << shift
    return Piece(slot: Int(number), byteCount: covered, shift: shift, mask: mask)
  }

  /// Refuses an access by its width before any part of it takes place.
  private final func checkWidth(
    _ position: Int, _ byteCount: Int, directionBase: Int
  ) throws(Errno) {
    guard wideAccess == .refuse || smallestAccess > 1 else { return }
    var done = 0
    while done < byteCount {
      guard let piece = piece(position, done, byteCount, directionBase: directionBase) else {
        done += 1
        continue
      }
      if wideAccess == .refuse, piece.byteCount != byteCount { throw .invalidArgument }
      if piece.byteCount < smallestAccess, piece.byteCount != Int(slots[piece.slot].byteCount) {
        throw .invalidArgument
      }
      done += piece.byteCount
    }
  }

  // MARK: - Names and saved state

  /// What to call the register at `offset` in a trace: "CSTS", "CSTS+2", "SQTDBL[3]", or the offset
  /// in hexadecimal where no register is.
  public final func name(at offset: RegionOffset, isWrite: Bool = false) -> String {
    guard
      let position = Int(exactly: offset.rawValue),
      let piece = piece(position, 0, 1, directionBase: isWrite ? indexedByteCount : 0)
    else { return hexadecimal(offset.rawValue, digits: 4) }
    return acronym(ofSlot: piece.slot) + (piece.shift == 0 ? "" : "+\(piece.shift / 8)")
  }

  /// The values of all registers, by acronym, in the order of their declarations.
  ///
  /// This is the block's whole run-time state, except for the selected bank: the device selects it
  /// again from the values when they are restored.
  public final var savedValues: [(acronym: String, value: UInt64)] {
    (0..<slots.count).map { (acronym(ofSlot: $0), values[$0]) }
  }

  /// Sets registers to saved values; no effect is called. Registers that are not named keep theirs.
  ///
  /// - Throws: ``RegisterStateError``; nothing is changed then.
  public final func restore(
    _ saved: [(acronym: String, value: UInt64)]
  ) throws(RegisterStateError) {
    var numbers: [String: Int] = [:]
    for number in 0..<slots.count { numbers[acronym(ofSlot: number)] = number }
    for (acronym, value) in saved {
      guard let number = numbers[acronym] else {
        throw RegisterStateError("\(name): saved register \(acronym) does not exist")
      }
      guard value & ~slots[number].widthMask == 0 else {
        throw RegisterStateError(
          "\(name): saved \(acronym) is \(hexadecimal(value)), wider than"
            + " \(slots[number].byteCount) bytes")
      }
    }
    for (acronym, value) in saved {
      if let number = numbers[acronym] { values[number] = value }
    }
  }

  private final func acronym(ofSlot number: Int) -> String {
    let slot = slots[number]
    return declarations[Int(slot.register)].acronym(element: Int(slot.element))
  }
}
