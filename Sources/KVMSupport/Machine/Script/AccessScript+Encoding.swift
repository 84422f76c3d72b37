import VFIOUser

extension AccessScript {
  /// How many bytes the table has for each operation; `onInterrupt` takes two entries.
  public static let entryByteCount = 40

  /// The table that `GuestProgram.accessScript` walks.
  ///
  /// - Parameter resultCount: how many results there is room for.
  /// - Throws: `EINVAL` for a width, a count, an address or a slot that the program does not have.
  public func encoded(resultCount: Int = .max) throws(Errno) -> [UInt8] {
    var bytes: [UInt8] = []
    for operation in operations {
      if case .onInterrupt(let vector, let action) = operation {
        var entry = Entry(.onInterrupt)
        entry.vector = vector
        entry.append(to: &bytes)
        switch action {
        case .read, .write, .writeResult: break
        default: throw .invalidArgument
        }
        try Entry(action, resultCount).append(to: &bytes)
      } else {
        try Entry(operation, resultCount).append(to: &bytes)
      }
    }
    Entry(.exit).append(to: &bytes)
    return bytes
  }

  /// The numbers of the operations in the table.
  private enum Opcode: UInt8 {
    case exit, read, write, writeResult, poll, enableInterrupts, awaitInterrupts, onInterrupt
    case readString, writeString
  }

  /// An entry of the table.
  private struct Entry {
    let opcode: Opcode
    var space: GuestSpace = .memory
    var byteCount: UInt8 = 0
    var vector: UInt8 = 0
    var count: UInt32 = 1
    var address: UInt64 = 0
    var value: UInt64 = 0
    /// A mask, or what is added each time.
    var mask: UInt64 = 0
    var slot: UInt32 = .max
    var step: UInt32 = 0

    init(_ opcode: Opcode) { self.opcode = opcode }

    init(_ operation: AccessOperation, _ resultCount: Int) throws(Errno) {
      switch operation {
      case .read(let space, let address, let byteCount, let slot, let count, let step):
        self.init(.read)
        try reach(space, address, byteCount, count)
        if let slot { try keep(slot, Int(count), resultCount) }
        self.step = step
      case .write(
        let space, let address, let value, let byteCount, let count, let addend, let step):
        self.init(.write)
        try reach(space, address, byteCount, count)
        self.value = value
        mask = addend
        self.step = step
      case .writeResult(let space, let address, let slot, let byteCount, let mask, let bits):
        self.init(.writeResult)
        try reach(space, address, byteCount, 1)
        try keep(slot, 1, resultCount)
        self.mask = mask
        value = bits
      case .poll(let space, let address, let byteCount, let mask, let value, let slot, let limit):
        self.init(.poll)
        try reach(space, address, byteCount, limit)
        if let slot { try keep(slot, 1, resultCount) }
        self.mask = mask
        self.value = value
      case .enableInterrupts:
        self.init(.enableInterrupts)
      case .awaitInterrupts(let vector, let count):
        self.init(.awaitInterrupts)
        self.vector = vector
        self.count = count
      case .readString(let port, let byteCount, let count, let buffer):
        self.init(.readString)
        try reach(.port, GuestAddress(UInt64(port)), byteCount, count)
        value = try Self.checked(buffer)
      case .writeString(let port, let byteCount, let count, let buffer):
        self.init(.writeString)
        try reach(.port, GuestAddress(UInt64(port)), byteCount, count)
        value = try Self.checked(buffer)
      case .exit(let status):
        self.init(.exit)
        value = UInt64(status)
      case .onInterrupt:
        throw .invalidArgument
      }
    }

    private mutating func reach(
      _ space: GuestSpace, _ address: GuestAddress, _ byteCount: Int, _ count: UInt32
    ) throws(Errno) {
      let widths = space == .port ? [1, 2, 4] : [1, 2, 4, 8]
      guard widths.contains(byteCount), count > 0, space == .memory || address.rawValue <= 0xffff
      else { throw .invalidArgument }
      self.space = space
      self.byteCount = UInt8(byteCount)
      self.count = count
      self.address = try Self.checked(address)
    }

    private mutating func keep(_ slot: Int, _ count: Int, _ resultCount: Int) throws(Errno) {
      guard slot >= 0, count <= resultCount, slot <= resultCount - count,
        let number = UInt32(exactly: slot)
      else { throw .invalidArgument }
      self.slot = number
    }

    private static func checked(_ address: GuestAddress) throws(Errno) -> UInt64 {
      guard address.rawValue <= UInt64(UInt32.max) else { throw .invalidArgument }
      return address.rawValue
    }

    func append(to bytes: inout [UInt8]) {
      bytes += [opcode.rawValue, space == .port ? 1 : 0, byteCount, vector]
      Self.append(UInt64(count), 4, to: &bytes)
      Self.append(address, 8, to: &bytes)
      Self.append(value, 8, to: &bytes)
      Self.append(mask, 8, to: &bytes)
      Self.append(UInt64(slot), 4, to: &bytes)
      Self.append(UInt64(step), 4, to: &bytes)
    }

    private static func append(_ value: UInt64, _ byteCount: Int, to bytes: inout [UInt8]) {
      for index in 0..<byteCount { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * index))) }
    }
  }
}
