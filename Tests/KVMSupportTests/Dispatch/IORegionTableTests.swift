import Testing

@testable import KVMSupport
@testable import VFIOUser

/// `KVM_SET_IOREGION` in user space, by its errors.
@Suite("IORegionTable") struct IORegionTableTests {
  /// What is there already: [0x1000, 0x1100) and [0x2000, 0x2100) of memory, [0x80, 0x90) of ports.
  struct Case: Sendable, CustomTestStringConvertible {
    var name: String
    var space = GuestSpace.memory
    var address: UInt64
    var byteCount: UInt64
    var flags: UInt32?
    var removes = false
    var errno: Errno?

    var testDescription: String { name }
  }

  static let cases: [Case] = [
    Case(name: "beside, below", address: 0xff0, byteCount: 0x10),
    Case(name: "beside, above", address: 0x1100, byteCount: 0x10),
    Case(name: "one byte between two", address: 0x1100, byteCount: 1),
    Case(name: "fills the gap", address: 0x1100, byteCount: 0xf00),
    Case(name: "the first byte below", address: 0xff0, byteCount: 0x11, errno: .invalidArgument),
    Case(name: "the last byte above", address: 0x10ff, byteCount: 0x10, errno: .invalidArgument),
    Case(name: "the first byte alone", address: 0x1000, byteCount: 1, errno: .invalidArgument),
    Case(name: "the last byte alone", address: 0x10ff, byteCount: 1, errno: .invalidArgument),
    Case(name: "splits it", address: 0x1080, byteCount: 8, errno: .invalidArgument),
    Case(
      name: "one byte shorter", address: 0x1000, byteCount: 0xff, errno: .invalidArgument),
    Case(
      name: "one byte longer", address: 0x1000, byteCount: 0x101, errno: .invalidArgument),
    Case(
      name: "one byte later", address: 0x1001, byteCount: 0xff, errno: .invalidArgument),
    Case(name: "swallows it", address: 0xfff, byteCount: 0x102, errno: .invalidArgument),
    Case(name: "swallows both", address: 0, byteCount: 0x10000, errno: .invalidArgument),
    Case(name: "the same: changed", address: 0x1000, byteCount: 0x100),
    Case(name: "empty", address: 0x5000, byteCount: 0, errno: .invalidArgument),
    Case(
      name: "wraps around", address: .max - 0xf, byteCount: 0x20, errno: .invalidArgument),
    Case(
      name: "ends with the space", address: .max - 0xf, byteCount: 0x10,
      errno: .invalidArgument),
    Case(name: "ends one byte before", address: .max - 0xf, byteCount: 0xf),
    Case(name: "all but one byte", address: 0x3000, byteCount: .max - 0x3000),
    Case(name: "an unknown flag", address: 0x5000, byteCount: 8, flags: 4, errno: .invalidArgument),
    Case(
      name: "the highest flag", address: 0x5000, byteCount: 8, flags: 1 << 31,
      errno: .invalidArgument),
    Case(
      name: "an unknown flag with a known one", address: 0x5000, byteCount: 8, flags: 7,
      errno: .invalidArgument),
    Case(name: "posted writes", address: 0x5000, byteCount: 8, flags: 2),
    Case(name: "ports are apart", space: .port, address: 0x1000, byteCount: 0x10),
    Case(name: "memory is apart", address: 0x80, byteCount: 0x10),
    Case(name: "a port in use", space: .port, address: 0x8f, byteCount: 1, errno: .invalidArgument),
    Case(name: "the last port", space: .port, address: 0xffff, byteCount: 1),
    Case(
      name: "beyond the last port", space: .port, address: 0xffff, byteCount: 2,
      errno: .invalidArgument),
    Case(
      name: "no port at all", space: .port, address: 0x10000, byteCount: 1,
      errno: .invalidArgument),
    Case(
      name: "ports that wrap around", space: .port, address: .max, byteCount: 2,
      errno: .invalidArgument),
    Case(name: "removed", address: 0x1000, byteCount: 0x100, removes: true),
    Case(
      name: "removed, one byte shorter", address: 0x1000, byteCount: 0xff, removes: true,
      errno: .noSuchFileOrDirectory),
    Case(
      name: "removed, one byte longer", address: 0x1000, byteCount: 0x101, removes: true,
      errno: .noSuchFileOrDirectory),
    Case(
      name: "removed, one byte later", address: 0x1001, byteCount: 0xff, removes: true,
      errno: .noSuchFileOrDirectory),
    Case(
      name: "removed where nothing is", address: 0x7000, byteCount: 8, removes: true,
      errno: .noSuchFileOrDirectory),
    Case(
      name: "removed from the other space", space: .port, address: 0x1000, byteCount: 0x100,
      removes: true, errno: .noSuchFileOrDirectory),
    Case(
      name: "removed with an unknown flag", address: 0x1000, byteCount: 0x100, flags: 8,
      removes: true, errno: .invalidArgument),
    Case(
      name: "removed, empty", address: 0x1000, byteCount: 0, removes: true,
      errno: .invalidArgument),
  ]

  @Test("I3 I4 I5 I6: the errno table, to the byte", arguments: cases)
  func errnoTable(entry: Case) throws {
    let pair = try PortPair()
    let table = IORegionTable()
    for (space, address, count) in [
      (GuestSpace.memory, 0x1000, 0x100), (.memory, 0x2000, 0x100), (.port, 0x80, 0x10),
    ] as [(GuestSpace, UInt64, UInt64)] {
      try table.set(
        IORegionAssignment(
          space: space, address: GuestAddress(address), byteCount: count, port: pair.port))
    }
    let before = Self.summary(table)
    var region = IORegionAssignment(
      space: entry.space, address: GuestAddress(entry.address), byteCount: entry.byteCount,
      userData: 77, port: entry.removes ? nil : pair.port)
    if let flags = entry.flags { region.flags = .init(rawValue: flags) }
    if let errno = entry.errno {
      #expect(throws: errno) { try table.set(region) }
      #expect(Self.summary(table) == before, "a refused change changed something")
    } else {
      try table.set(region)
      let found = table.regions(in: entry.space).first { $0.address.rawValue == entry.address }
      #expect(found?.userData == (entry.removes ? nil : 77))
      #expect(found?.postsWrites ?? false == (entry.flags == 2))
      if entry.removes { #expect(Self.summary(table).count == before.count - 1) }
    }
  }

  private static func summary(_ table: IORegionTable) -> [String] {
    GuestSpace.allCases.flatMap { space in
      table.regions(in: space).map {
        "\(space) \($0.address) \($0.byteCount) \($0.userData) \($0.flags.rawValue)"
      }
    }
  }

  @Test("I3: a change takes another port, user data and posted writes")
  func modify() throws {
    let first = try PortPair()
    let second = try PortPair()
    let table = IORegionTable()
    try table.set(
      IORegionAssignment(address: GuestAddress(0), byteCount: 8, userData: 1, port: first.port))
    try table.set(
      IORegionAssignment(
        address: GuestAddress(0), byteCount: 8, userData: 2, port: second.port,
        postsWrites: true))
    let regions = table.regions(in: .memory)
    #expect(regions.count == 1)
    #expect(regions[0].port === second.port)
    #expect(regions[0].userData == 2 && regions[0].postsWrites)
  }

  @Test("I2: the last close drops all ranges of a port, and others may take their place")
  func lastClose() throws {
    let dying = try PortPair()
    let living = try PortPair()
    let table = IORegionTable()
    for address in stride(from: UInt64(0), to: 0x100, by: 0x10) {
      try table.set(
        IORegionAssignment(
          address: GuestAddress(address), byteCount: 0x10,
          port: address % 0x20 == 0 ? dying.port : living.port))
    }
    dying.closeDevice()
    // It overlaps one of the dead port's by a byte.
    try table.set(
      IORegionAssignment(address: GuestAddress(0x20), byteCount: 1, port: living.port))
    #expect(table.regions(in: .memory).allSatisfy { $0.port === living.port })
    #expect(table.regions(in: .memory).count == 9)
    #expect(throws: Errno.badFileDescriptor) {
      try table.set(
        IORegionAssignment(address: GuestAddress(0x1000), byteCount: 1, port: dying.port))
    }
  }
}
