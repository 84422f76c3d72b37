import Synchronization
import Testing

@testable import DeviceModel
@testable import VFIOUser

private enum SlowRegister: Int, RegisterMap {
  case plain, slow
  var declaration: Register {
    switch self {
    case .plain: Register("P", "Plain", at: 0, bytes: 4, .readWrite, reset: 7, "No effect.")
    case .slow:
      Register(
        "S", "Slow", at: 4, bytes: 4, .readWrite, effects: [.read, .write], "Answers late.",
        [Field("SECRET", 24...31, .writeOnly, "Reads 0.")])
    }
  }
}

/// Stands in for a session: hands out replies and keeps how they ended.
private final class Replies: AccessDeferral {
  let outcomes = Outcomes()
  var count = 0

  final class Outcomes: Sendable {
    let list = Mutex<[DeferredOutcome]>([])
  }

  func deferReply(survivesReset: Bool) -> DeferredReply? {
    count += 1
    return DeferredReply { [outcomes] outcome in outcomes.list.withLock { $0.append(outcome) } }
  }

  var context: AccessContext { AccessContext(deferral: self, isPosted: false) }

  var bytes: [[UInt8]] {
    outcomes.list.withLock {
      $0.compactMap { if case .done(let bytes) = $0 { bytes } else { nil } }
    }
  }
}

@Suite("Deferred register accesses")
struct DeferredRegisterTests {
  private let block: RegisterBlock<SlowRegister>
  private let replies = Replies()

  init() throws { block = try RegisterBlock() }

  private func read(_ offset: UInt64, _ count: Int) throws {
    var bytes = [UInt8](repeating: 0, count: count)
    var elements = bytes.mutableSpan
    // Safety: bytes take any value.
    var span = unsafe elements.mutableBytes
    try block.read(at: RegionOffset(offset), into: &span, replies.context)
  }

  @Test("E1: a deferred read is answered with the part of the register that it covers")
  func deferredRead() throws {
    var pending: [DeferredRegisterReply] = []
    block.effect = { effect in
      if let reply = effect.deferReply() { pending.append(reply) }
    }
    try read(4, 4)
    try read(5, 2)
    #expect(replies.bytes.isEmpty)
    for reply in pending { reply.complete(value: 0xff44_3322) }
    // The write-only field reads 0 in a late answer too.
    #expect(replies.bytes == [[0x22, 0x33, 0x44, 0], [0x33, 0x44]])
  }

  @Test("E1: an access that covers several registers cannot be deferred")
  func split() throws {
    var deferred = true
    block.effect = { effect in deferred = effect.deferReply() != nil }
    try read(0, 8)
    #expect(!deferred)
    #expect(replies.count == 0)
  }

  @Test("E1: a posted write cannot be deferred, and says so")
  func posted() throws {
    var seen: (posted: Bool, deferred: Bool)?
    block.effect = { effect in seen = (effect.isPosted, effect.deferReply() != nil) }
    // Safety: an array of bytes has no padding.
    try block.write(
      at: RegionOffset(4), from: unsafe ([1, 2, 3, 4] as [UInt8]).span.bytes,
      AccessContext(deferral: nil, isPosted: true))
    #expect(seen?.posted == true)
    #expect(seen?.deferred == false)
  }

  @Test("E17: a deferred access that is dropped answers EIO, a failed one its error")
  func failures() throws {
    var fails = false
    block.effect = { effect in
      if let reply = effect.deferReply(), fails { reply.fail(.timedOut) }
    }
    try read(4, 4)
    fails = true
    try read(4, 4)
    let errors = replies.outcomes.list.withLock { $0 }.map { outcome -> Errno? in
      if case .failed(let error) = outcome { error } else { nil }
    }
    #expect(errors == [.ioError, .timedOut])
  }
}
