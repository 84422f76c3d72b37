import BlockStorage
import NVMe
import Testing

@testable import EmulatedDevices
@testable import VFIOUser

/// Asynchronous events, and Abort.
@Suite("nvme: events", .timeLimit(.minutes(10)), .serialized)
struct EventTests {
  private static let unknownDoorbell: UInt32 = 0x01_0000
  private static let wrongDoorbell: UInt32 = 0x01_0100
  private static let temperature: UInt32 = 0x02_0101
  private static let namespaceChange: UInt32 = 0x04_0002

  /// Causes an event of each type.
  private func causeError(_ rig: NVMeRig) throws {
    try rig.store(1, ControllerRegisterOffset.submissionQueueTail(9))
  }
  private func causeHealth(_ rig: NVMeRig) throws {
    // A threshold below what the temperature is.
    #expect(try rig.status(.setFeatures, 4, 280) == .success)
  }

  @Test("E2: an event that nobody waits for is told to who asks later")
  func early() throws {
    let rig = try NVMeRig()
    try causeError(rig)
    try rig.settle()
    #expect(try rig.run(.asynchronousEventRequest).result == Self.unknownDoorbell)
  }

  @Test("E2: an event of one type does not hold back one of another")
  func types() throws {
    let rig = try NVMeRig()
    // Temperature warnings, Namespace Attribute Notices.
    #expect(try rig.status(.setFeatures, 0xb, 2 | 1 << 8) == .success)
    let requests = try (0..<4).map { _ in try rig.submit(.asynchronousEventRequest) }
    try causeError(rig)
    let first = try rig.reap(rig.admin, 1)[0]
    #expect(first.result == Self.unknownDoorbell && first.commandIdentifier == requests[0])
    try rig.submit(.setFeatures, 4, 280)
    let health = try rig.reap(rig.admin, 2)
    #expect(health.map(\.result).sorted() == [0, Self.temperature])
    try rig.submit(.formatNVM, namespace: 1, 0)
    let notice = try rig.reap(rig.admin, 2)
    #expect(notice.map(\.result).sorted() == [0, Self.namespaceChange])
    #expect(HealthLog(try rig.log(.health, keepsEvent: true)).criticalWarning == 2)
    // Each type is silent until its own page was read.
    try rig.store(99, ControllerRegisterOffset.submissionQueueTail(0))
    #expect(try rig.settled(rig.admin).isEmpty)
    _ = try rig.log(.health)
    _ = try rig.log(.changedNamespaces, byteCount: 4096)
    #expect(try rig.settled(rig.admin).isEmpty)
    try rig.submit(
      .getLogPage, namespace: 0xffff_ffff, UInt32(LogPageIdentifier.errorInformation.rawValue))
    #expect(try rig.reap(rig.admin, 2).map(\.result).sorted() == [0, Self.wrongDoorbell])
  }

  @Test("E2: notices and health events come only where they were asked for")
  func unwanted() throws {
    let rig = try NVMeRig()
    try rig.submit(.asynchronousEventRequest)
    try causeHealth(rig)
    #expect(try rig.status(.formatNVM, namespace: 1, 0) == .success)
    #expect(try rig.settled(rig.admin).isEmpty)
    #expect(HealthLog(try rig.log(.health)).criticalWarning == 2)
  }

  @Test("E2: a log page that did not arrive was not read: its event stays silent, its list stays")
  func unreadPage() throws {
    let rig = try NVMeRig()
    let nowhere: UInt64 = 0x7000_0000
    #expect(try rig.status(.setFeatures, 0xb, 1 << 8) == .success)
    for _ in 0..<2 { try rig.submit(.asynchronousEventRequest) }
    try rig.submit(.formatNVM, namespace: 1, 0)
    #expect(try rig.reap(rig.admin, 2).map(\.result).contains(Self.namespaceChange))
    try rig.submit(.formatNVM, namespace: 1, 0)
    #expect(try rig.reap(rig.admin, 1)[0].status == .success)
    let changes = UInt32(LogPageIdentifier.changedNamespaces.rawValue) | 1023 << 16
    for (prp1, prp2) in [(nowhere, 0), (NVMeRig.base + 0x1800, nowhere)] as [(UInt64, UInt64)] {
      #expect(
        try rig.status(
          .getLogPage, namespace: 0xffff_ffff, prp1: prp1, prp2: prp2, changes)
          == .dataTransferError)
    }
    #expect(try rig.status(.getLogPage, changes, 0, 8192) == .invalidField)
    #expect(try rig.settled(rig.admin).isEmpty, "the event waits until the page was read")
    #expect(try rig.log(.changedNamespaces, byteCount: 8, keepsEvent: true)[0] == 1)
    // The page arrives, and with it the event that was held back.
    try rig.submit(.getLogPage, namespace: 0xffff_ffff, changes)
    #expect(try rig.reap(rig.admin, 2).map(\.result).sorted() == [0, Self.namespaceChange])
    #expect(try rig.bytes(NVMeRig.adminDataPlace, 4) == [1, 0, 0, 0])
    #expect(try rig.log(.changedNamespaces, byteCount: 4) == [0, 0, 0, 0])
  }

  @Test("E2: the error log's event as well", arguments: [0x7000_0000, 2] as [UInt64])
  func unreadErrors(prp1: UInt64) throws {
    let rig = try NVMeRig()
    for _ in 0..<2 { try rig.submit(.asynchronousEventRequest) }
    try causeError(rig)
    #expect(try rig.reap(rig.admin, 1)[0].result == Self.unknownDoorbell)
    try rig.store(99, ControllerRegisterOffset.submissionQueueTail(0))
    let errors = UInt32(LogPageIdentifier.errorInformation.rawValue) | 15 << 16
    #expect(
      try !rig.status(.getLogPage, namespace: 0xffff_ffff, prp1: prp1, errors).isSuccess)
    #expect(try rig.settled(rig.admin).isEmpty)
    try rig.submit(.getLogPage, namespace: 0xffff_ffff, errors)
    #expect(try rig.reap(rig.admin, 2).map(\.result).sorted() == [0, Self.wrongDoorbell])
  }

  @Test("E9: open event requests and events end with a reset")
  func reset() throws {
    let rig = try NVMeRig()
    for _ in 0..<3 { try rig.submit(.asynchronousEventRequest) }
    try causeError(rig)
    #expect(try rig.reap(rig.admin, 1)[0].result == Self.unknownDoorbell)
    // This one is waiting, since the log was not read.
    try rig.store(99, ControllerRegisterOffset.submissionQueueTail(0))
    let old = rig.admin
    try rig.disable()
    try rig.enable()
    #expect(try rig.settled(old).isEmpty)
    // As many requests as ever, and nothing to tell.
    for _ in 0..<8 { try rig.submit(.asynchronousEventRequest) }
    #expect(try rig.settled(rig.admin).isEmpty)
    try causeError(rig)
    #expect(try rig.reap(rig.admin, 1)[0].result == Self.unknownDoorbell)
  }

  @Test("E2: Abort leaves a command that its storage has; it ends as if nothing had been said")
  func abortInFlight() throws {
    let storage = try ProbeStorage(.held)
    let rig = try NVMeRig(storages: [storage])
    let queue = try rig.makePair(1, entryCount: 8)
    try rig.putReads(1, in: queue)
    try rig.ring(queue)
    try rig.wait { storage.heldCount == 1 }
    let abort = try rig.run(.abort, 1)
    #expect(abort.status == .success && abort.result & 1 == 1)
    storage.release()
    #expect(try rig.reap(queue, 1)[0].status == .success)
    let late = try rig.run(.abort, 1)
    #expect(late.status == .success && late.result & 1 == 1)
  }

  @Test("E2: Abort takes back the event request that it names, and no other")
  func abortOne() throws {
    let rig = try NVMeRig()
    let requests = try (0..<3).map { _ in try rig.submit(.asynchronousEventRequest) }
    try rig.submit(.abort, UInt32(requests[1]) << 16)
    let ends = try rig.reap(rig.admin, 2)
    #expect(ends[0].commandIdentifier == requests[1])
    #expect(rig.checked(ends[0].status) == .abortRequested)
    #expect(ends[1].status == .success && ends[1].result & 1 == 0)
    try causeError(rig)
    #expect(try rig.reap(rig.admin, 1)[0].commandIdentifier == requests[0])
    // The same number in another queue is another command.
    _ = try rig.makePair(1, entryCount: 8)
    #expect(try rig.run(.abort, UInt32(requests[2]) << 16 | 1).result & 1 == 1)
  }

  @Test("E2: wrong doorbells are told of: queues that do not exist, values that cannot be")
  func doorbells() throws {
    let rig = try NVMeRig()
    let queue = try rig.makePair(1, entryCount: 8)
    typealias Offset = ControllerRegisterOffset
    for (offset, value, event) in [
      (Offset.submissionQueueTail(2), 1, Self.unknownDoorbell),
      (Offset.completionQueueHead(2), 0, Self.unknownDoorbell),
      (Offset.submissionQueueTail(1), 8, Self.wrongDoorbell),
      (Offset.completionQueueHead(1), 8, Self.wrongDoorbell),
      (Offset.submissionQueueTail(1), 0x8000_0001, Self.wrongDoorbell),
      (Offset.submissionQueueTail(64), 1, Self.unknownDoorbell),
      (Offset.submissionQueueTail(500), 1, Self.unknownDoorbell),
    ] as [(UInt64, UInt32, UInt32)] {
      try rig.submit(.asynchronousEventRequest)
      try rig.store(value, offset)
      #expect(try rig.reap(rig.admin, 1)[0].result == event)
      _ = try rig.log(.errorInformation)
    }
    try rig.putReads(7, in: queue)
    try rig.ring(queue)
    #expect(try rig.reap(queue, 7).count == 7)
  }

  @Test("E17: doorbells are written in dwords, one or two at a time; anything else is refused")
  func doorbellWidths() throws {
    let rig = try NVMeRig()
    let queue = try rig.makePair(1, entryCount: 8)
    try rig.putReads(3, in: queue)
    // The tail of the submission queue, and the head of the completion queue.
    try rig.registers.write(
      UInt64(3), at: RegionOffset(ControllerRegisterOffset.submissionQueueTail(1)))
    queue.rungTail = 3
    #expect(try rig.reap(queue, 3).count == 3)
    for offset in [0, 1, 2] as [UInt64] {
      #expect(throws: ClientError.self) {
        try rig.registers.write(
          UInt16(4), at: RegionOffset(ControllerRegisterOffset.submissionQueueTail(1) + offset))
      }
    }
    #expect(try rig.settled(queue).isEmpty)
    try rig.putReads(1, in: queue)
    try rig.ring(queue)
    #expect(try rig.reap(queue, 1).count == 1)
  }
}
