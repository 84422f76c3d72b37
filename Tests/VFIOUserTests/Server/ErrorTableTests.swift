import CVFIOUserLinux
import Glibc
import Testing

@testable import VFIOUser

/// The rows of `docs/errors.md`, each carried out.
@Suite("Errors") struct ErrorTableTests {
  typealias Fault = @Sendable (FaultBench) throws -> Void

  /// What commits the fault of each row, by the row's name.
  static let faults: [String: Fault] = [
    messageFaults, versionFaults, memoryFaults, queryFaults, interruptFaults, accessFaults,
    multipleWriteFaults, deviceFaults,
  ].reduce(into: [:]) { $0.merge($1) { first, _ in first } }

  /// Rows that another test shows, for they need a process of their own.
  static let shownElsewhere: Set = ["any: descriptors lost for want of room in the table"]

  static let rows = ErrorTable.documented.rows

  @Test("V6: a fault gets the answer of the table, and the server goes on", arguments: rows)
  func answer(row: ErrorTable.Row) throws {
    let answer = try #require(row.answer, "the answer of \(row.name) is not understood")
    if Self.shownElsewhere.contains(row.name) { return }
    let commit = try #require(Self.faults[row.name], "nothing commits the fault \(row.name)")
    try commit(try FaultBench(answer))
  }

  @Test("Every fault is in the table once, with its source")
  func completeness() {
    let names = Self.rows.map(\.name)
    #expect(!names.isEmpty)
    #expect(Set(names).count == names.count)
    #expect(Set(Self.faults.keys).union(Self.shownElsewhere) == Set(names))
    #expect(Self.rows.allSatisfy { !$0.source.isEmpty })
    for command in Command.all where command != .version {
      #expect(names.contains { $0.hasPrefix("\(command): ") }, "no fault of \(command)")
    }
  }

  @Test("E17: no fault of the table leaves a descriptor behind")
  func descriptorLeaks() async {
    await #expect(processExitsWith: .success) {
      // What is made once in a process is made now.
      for row in Self.rows.prefix(3) { try Self.run(row) }
      let before = TestRig.openDescriptorCount
      for row in Self.rows {
        try Self.run(row)
        #expect(TestRig.openDescriptorCount == before, "\(row.name)")
      }
    }
  }

  private static func run(_ row: ErrorTable.Row) throws {
    guard let answer = row.answer, let commit = faults[row.name] else { return }
    try commit(try FaultBench(answer))
  }

  @Test("E17: a message whose descriptors the process has no room for is refused with EINVAL")
  func lostDescriptors() async {
    await #expect(processExitsWith: .success) {
      let rig = try TestRig()
      let event = try EventDescriptor()
      let witness = try DescriptorWitness()
      // Nothing is free below `lowest`, whatever the process has open.
      var lowest = dup(event.rawValue)
      while lowest < 128 { lowest = dup(event.rawValue) }
      close(lowest)
      // Room for two descriptors of three. Those above the limit stay open.
      var limit = rlimit()
      getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      let usual = limit
      limit.rlim_cur = rlim_t(lowest + 2)
      setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      let request = SetIRQs(action: .trigger, selection: .eventfds, index: 2, start: 0, count: 3)
      let reply = try rig.call(
        request, descriptors: [event.rawValue, event.rawValue, event.rawValue])
      #expect(reply.header.failure == .invalidArgument)
      // The two that found room were closed.
      _ = try rig.call(
        request, descriptors: [witness.rawValue, witness.rawValue, witness.rawValue])
      #expect(witness.isOnlyHolder())
      limit = usual
      setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      #expect(
        try rig.call(request, descriptors: [event.rawValue, event.rawValue, event.rawValue])
          .header.failure == nil)
    }
  }
}
