import VFIOUser

/// The memory slots of a machine: which number each has, and the memory that must stay mapped.
struct SlotTable {
  /// A slot that the guest sees.
  struct Entry {
    let number: UInt32
    let slot: MemorySlot
  }

  private var entries: [GuestAddress: Entry] = [:]
  private var unused: [UInt32] = []
  private var next: UInt32 = 0
  private let limit: Int

  init(limit: Int) { self.limit = limit }

  /// A number for one more slot, or nil when all are taken.
  mutating func takeNumber() -> UInt32? {
    if let number = unused.popLast() { return number }
    guard next < limit else { return nil }
    next += 1
    return next - 1
  }

  /// A number that no slot has.
  mutating func giveBack(_ number: UInt32) { unused.append(number) }

  /// Keeps the slot's memory mapped until it is removed.
  mutating func insert(_ slot: MemorySlot, _ number: UInt32) {
    entries[slot.address] = Entry(number: number, slot: slot)
  }

  /// The slot that begins at `address`.
  func entry(at address: GuestAddress) -> Entry? { entries[address] }

  /// Lets go of a slot that the guest no longer sees.
  mutating func remove(at address: GuestAddress) {
    if let entry = entries.removeValue(forKey: address) { unused.append(entry.number) }
  }

  /// The slots, by address.
  var all: [MemorySlot] { entries.values.map(\.slot).sorted { $0.address < $1.address } }
}
