import CVFIOUserLinux
import Testing

@testable import KVMSupport
@testable import VFIOUser

/// What is made of a server's answers, whatever they say.
@Suite("RegionPlan") struct RegionPlanTests {
  /// A region of 0x4000 bytes whose third page is mapped.
  private func planner(mapsThirdPage: Bool = true) throws -> RegionPlanner {
    var planner = RegionPlanner(
      RegionInfo(index: 0, flags: [.read, .write], byteCount: 0x4000))
    if mapsThirdPage {
      var part = RegionPart(offset: 0x2000, byteCount: 0x1000, path: .mapped)
      part.memory = try SharedMemory(byteCount: 4096)
      planner.insert(part)
    }
    return planner
  }

  /// An eventfd, an ioregionfd's end, and something that is neither.
  private func descriptors(_ entries: [RegionIODescriptor]) throws -> ClientIODescriptors {
    let ends = try PortPair.sockets()
    close(ends.device)
    var pipes: [CInt] = [-1, -1]
    try #require(pipe(&pipes) == 0)
    close(pipes[1])
    var received = ReceivedDescriptors(
      adopting: [eventfd(0, CInt(EFD_NONBLOCK)), ends.monitor, pipes[0]])
    return try #require(ClientIODescriptors(entries: entries, descriptors: &received))
  }

  private func plan(
    _ entries: [RegionIODescriptor], mapsThirdPage: Bool = true
  ) throws -> RegionPlan {
    var planner = try planner(mapsThirdPage: mapsThirdPage)
    planner.add(try descriptors(entries)) { entry, descriptors throws(Errno) in
      try IORegionChannel(
        adopting: try descriptors.duplicate(at: Int(entry.descriptorIndex)))
    }
    return planner.plan
  }

  private static func entry(
    _ kind: RegionIODescriptor.Kind, _ offset: UInt64, _ byteCount: UInt64, flags: UInt32 = 0,
    value: UInt64 = 0, index: UInt32? = nil
  ) -> RegionIODescriptor {
    let index = index ?? (kind == .ioeventfd ? 0 : 1)
    return RegionIODescriptor(
      offset: RegionOffset(offset), byteCount: byteCount, descriptorIndex: index, kind: kind,
      flags: flags, value: value)
  }

  /// A plan's parts, as text.
  private func text(_ plan: RegionPlan) -> [String] {
    plan.parts.map { "\($0.offset)+\($0.byteCount) \($0.path)" }
  }

  @Test("I19: every byte has exactly one path, and messages fill the gaps")
  func partsOfARegion() throws {
    let plan = try plan([
      Self.entry(.ioregionfd, 0x1000, 0x100, value: 42),
      Self.entry(.ioregionfd, 0, 0x10, flags: 2),
      Self.entry(.postedMessage, 0x3000, 8, index: .max),
      Self.entry(.ioeventfd, 0x1008, 4, flags: 1, value: 9),
      Self.entry(.ioeventfd, 0x3ffc, 0),
    ])
    #expect(
      text(plan) == [
        "0x0+16 ioregionfd, posted writes", "0x10+4080 message", "0x1000+256 ioregionfd",
        "0x1100+3840 message", "0x2000+4096 mapped", "0x3000+8 posted message",
        "0x3008+4088 message",
      ])
    #expect(plan.fallbacks.isEmpty)
    #expect(plan.events.map(\.matching) == [9, nil])
    #expect(plan.parts[2].userData == 42)
    // Entries of one descriptor share one port.
    #expect(plan.parts[0].port === plan.parts[2].port)
    #expect(plan.parts.map(\.byteCount).reduce(0, +) == 0x4000)
  }

  struct Bad: Sendable, CustomTestStringConvertible {
    var name: String
    var entry: RegionIODescriptor
    var errno: Errno
    /// What the server said before.
    var first: [RegionIODescriptor] = []
    var testDescription: String { name }
  }

  static let bad: [Bad] = [
    Bad(
      name: "an ioregionfd over mapped memory by one byte",
      entry: entry(.ioregionfd, 0x1f01, 0x100), errno: .invalidArgument),
    Bad(
      name: "an ioregionfd over the last mapped byte", entry: entry(.ioregionfd, 0x2fff, 8),
      errno: .invalidArgument),
    Bad(
      name: "two ioregionfds that share a byte", entry: entry(.ioregionfd, 0x10f, 0x10),
      errno: .invalidArgument, first: [entry(.ioregionfd, 0x100, 0x10)]),
    Bad(
      name: "the same ioregionfd twice", entry: entry(.ioregionfd, 0x100, 0x10),
      errno: .invalidArgument, first: [entry(.ioregionfd, 0x100, 0x10)]),
    Bad(
      name: "posted over an ioregionfd", entry: entry(.postedMessage, 0x108, 1, index: .max),
      errno: .invalidArgument, first: [entry(.ioregionfd, 0x100, 0x10)]),
    Bad(
      name: "beyond the region by a byte", entry: entry(.ioregionfd, 0x3fff, 2),
      errno: .invalidArgument),
    Bad(
      name: "at the end of the address space", entry: entry(.ioregionfd, .max, .max),
      errno: .invalidArgument),
    Bad(name: "empty", entry: entry(.ioregionfd, 0, 0), errno: .invalidArgument),
    Bad(
      name: "unknown flags", entry: entry(.ioregionfd, 0, 8, flags: 4), errno: .invalidArgument),
    Bad(
      name: "a pipe as ioregionfd", entry: entry(.ioregionfd, 0, 8, index: 2),
      errno: .invalidArgument),
    Bad(
      name: "an eventfd as ioregionfd", entry: entry(.ioregionfd, 0, 8, index: 0),
      errno: .invalidArgument),
    Bad(
      name: "a socket as eventfd", entry: entry(.ioeventfd, 0, 4, index: 1),
      errno: .invalidArgument),
    Bad(
      name: "an eventfd over mapped memory", entry: entry(.ioeventfd, 0x2000, 4),
      errno: .invalidArgument),
    Bad(
      name: "an eventfd into mapped memory", entry: entry(.ioeventfd, 0x1ffc, 8),
      errno: .invalidArgument),
    Bad(
      name: "an eventfd of 3 bytes", entry: entry(.ioeventfd, 0, 3), errno: .invalidArgument),
    Bad(
      name: "an eventfd of any length with a value", entry: entry(.ioeventfd, 0, 0, flags: 1),
      errno: .invalidArgument),
    Bad(
      name: "an eventfd that leaves the region", entry: entry(.ioeventfd, 0x3ffe, 4),
      errno: .invalidArgument),
    Bad(
      name: "an eventfd with unknown flags", entry: entry(.ioeventfd, 0, 4, flags: 8),
      errno: .invalidArgument),
    Bad(
      name: "the same write twice", entry: entry(.ioeventfd, 8, 4, flags: 1, value: 3),
      errno: .fileExists, first: [entry(.ioeventfd, 8, 4, flags: 1, value: 3)]),
    Bad(
      name: "any value, and one", entry: entry(.ioeventfd, 8, 4, flags: 1, value: 3),
      errno: .fileExists, first: [entry(.ioeventfd, 8, 4)]),
    Bad(
      name: "any length, and one", entry: entry(.ioeventfd, 8, 0), errno: .fileExists,
      first: [entry(.ioeventfd, 8, 4, flags: 1, value: 3)]),
    Bad(
      name: "shadow memory", entry: entry(.shadowIOEventfd, 8, 4, index: 0),
      errno: .notSupported),
    Bad(
      name: "a kind that nobody knows", entry: entry(.init(rawValue: 77), 8, 4, index: 0),
      errno: .notSupported),
  ]

  @Test("E16 I19 I23: what contradicts or is not known falls back, with the reason", arguments: bad)
  func refusals(bad: Bad) throws {
    let good = try plan(bad.first)
    let plan = try plan(bad.first + [bad.entry])
    #expect(text(plan) == text(good), "the refused entry changed something")
    #expect(plan.events.count == good.events.count)
    #expect(plan.fallbacks.count == 1)
    #expect(plan.fallbacks.first?.errno == bad.errno)
    #expect(plan.fallbacks.first?.reason.isEmpty == false)
    #expect(plan.fallbacks.first?.offset == bad.entry.offset)
  }

  @Test("I19: writes of other sizes or values at one place signal different eventfds")
  func eventsAtOnePlace() throws {
    let plan = try plan([
      Self.entry(.ioeventfd, 8, 4, flags: 1, value: 3),
      Self.entry(.ioeventfd, 8, 4, flags: 1, value: 4),
      Self.entry(.ioeventfd, 8, 2),
      Self.entry(.ioeventfd, 12, 4),
    ])
    #expect(plan.events.count == 4)
    #expect(plan.fallbacks.isEmpty)
  }

  @Test("E16: a server with too many entries gets the first ones")
  func tooMany() throws {
    let entries = (0..<UInt64(5000)).map { Self.entry(.postedMessage, $0 * 2, 1, index: .max) }
    var planner = RegionPlanner(RegionInfo(index: 0, flags: .read, byteCount: 0x10000))
    planner.add(try descriptors(entries)) { _, _ throws(Errno) in throw .notSupported }
    let plan = planner.plan
    #expect(plan.parts.filter { $0.path == .postedMessage }.count == 4096)
    #expect(plan.fallbacks.count == 1)
    #expect(plan.fallbacks.first?.errno == .noBufferSpace)
  }

  @Test("I23: without an answer everything is messages")
  func noAnswer() {
    let plan = RegionPlan(messagesFor: RegionInfo(index: 0, flags: .read, byteCount: 64))
    #expect(text(plan) == ["0x0+64 message"])
    let none = RegionPlan(messagesFor: RegionInfo(index: 0, flags: .read, byteCount: 0))
    #expect(none.parts.isEmpty)
  }

  @Test("I19: what the monitor answers itself is taken out of mapped memory and ioregionfds")
  func intercepts() throws {
    let plan = try plan([
      Self.entry(.ioregionfd, 0x100, 0x100),
      Self.entry(.ioeventfd, 0x1f0, 4),
      Self.entry(.ioeventfd, 0x400, 4),
    ])
    let left = plan.leaving([0x180..<0x1f4, 0x2800..<0x2810, 0x3ff0..<0x9000, 0x8000..<0x9000])
    #expect(
      text(left) == [
        "0x0+256 message", "0x100+128 message", "0x180+116 monitor", "0x1f4+12 message",
        "0x200+7680 message", "0x2000+2048 mapped", "0x2800+16 monitor", "0x2810+2032 mapped",
        "0x3000+4080 message", "0x3ff0+16 monitor",
      ])
    #expect(left.events.map(\.offset.rawValue) == [0x400])
    #expect(left.fallbacks.count == 2)
    #expect(left.parts[7].memoryOffset == 0x810)
  }

  @Test("I19: pages beside the one that the monitor answers stay whole pages")
  func interceptedPages() throws {
    var planner = RegionPlanner(
      RegionInfo(index: 0, flags: [.read, .write], byteCount: 0x4000))
    planner.insert(RegionPart(offset: 0, byteCount: 0x4000, path: .mapped))
    let left = planner.plan.leaving([0x1800..<0x1900])
    #expect(
      text(left) == [
        "0x0+4096 mapped", "0x1000+2048 mapped", "0x1800+256 monitor", "0x1900+1792 mapped",
        "0x2000+8192 mapped",
      ])
  }
}
