import CKVMLinux
import VFIOUser

extension VirtualMachine {
  /// Shows memory to the guest. The machine keeps it until it is unmapped again.
  ///
  /// - Throws: `EEXIST` where another slot overlaps; `EINVAL` where something is no multiple of the page
  ///   size, nothing, or past the memory's end; `ENOSPC` when there are no more slots.
  public func map(_ slot: MemorySlot) throws(KVMError) {
    let context =
      "slot at \(slot.address), \(slot.byteCount) bytes\(slot.isReadOnly ? ", read-only" : "")"
    let (end, overflow) = slot.memoryOffset.addingReportingOverflow(slot.byteCount)
    guard slot.byteCount > 0, !overflow, end <= UInt64(slot.memory.byteCount) else {
      throw KVMError(.setMemory, .invalidArgument, context)
    }
    let error: KVMError? = slots.withLock { table in
      if let there = table.entry(at: slot.address) {
        return KVMError(
          .setMemory, .fileExists, "\(context); there is one of \(there.slot.byteCount) bytes")
      }
      guard let number = table.takeNumber() else { return KVMError(.setMemory, .noSpace, context) }
      let result = ckvm_set_memory(
        descriptor.rawValue, number, slot.isReadOnly, slot.address.rawValue, slot.byteCount,
        slot.memory.hostAddress + slot.memoryOffset)
      guard result >= 0 else {
        table.giveBack(number)
        return KVMError(.setMemory, Errno(rawValue: 0 - result), context)
      }
      table.insert(slot, number)
      return nil
    }
    if let error { throw error }
  }

  /// Takes the memory away that begins at `address`. After it accesses there exit, and no CPU uses the memory.
  ///
  /// - Throws: `ENOENT` when none begins there.
  public func unmap(at address: GuestAddress) throws(KVMError) {
    let context = "slot at \(address)"
    let error: KVMError? = slots.withLock { table in
      guard let entry = table.entry(at: address) else {
        return KVMError(.setMemory, .noSuchFileOrDirectory, context)
      }
      let result = ckvm_set_memory(
        descriptor.rawValue, entry.number, false, address.rawValue, 0, 0)
      guard result >= 0 else {
        return KVMError(.setMemory, Errno(rawValue: 0 - result), context)
      }
      table.remove(at: address)
      return nil
    }
    if let error { throw error }
  }

  /// What the guest sees as memory, by address.
  public var memorySlots: [MemorySlot] { slots.withLock { $0.all } }
}
