/// The commands that wait for a reply.
///
/// A message identity is a slot (10 bits) and the slot's generation (6 bits), so that a reply to a
/// command long gone is not taken for a reply to its successor.
struct ReplyTable {
  /// A reply that arrived while somebody else was receiving.
  struct Reply {
    var payload: [UInt8] = []
    var failure: Errno?
    var descriptors: ReceivedDescriptorsBox?
  }

  enum State {
    case free
    case waiting
    /// The caller gave up; the reply is dropped when it comes.
    case abandoned
    case answered
  }

  private struct Slot {
    var state = State.free
    var generation: UInt16 = 0
    var command = Command.version
    var reply = Reply()
  }

  static let capacity = 1024
  private var slots: [Slot] = []
  private var freeSlots: [UInt16] = []

  /// Takes a slot for a command; nil when too many wait.
  @inline(__always)
  mutating func open(_ command: Command) -> UInt16? {
    let index: Int
    if let free = freeSlots.popLast() {
      index = Int(free)
    } else {
      guard slots.count < Self.capacity else { return nil }
      index = slots.count
      slots.append(Slot())
    }
    slots[index].state = .waiting
    slots[index].command = command
    return UInt16(index) | slots[index].generation << 10
  }

  /// The state of a command, free when the identity is none of ours.
  @inline(__always)
  func state(_ identity: UInt16) -> State {
    let index = Int(identity & 0x3ff)
    guard index < slots.count, slots[index].generation == identity >> 10 else { return .free }
    return slots[index].state
  }

  /// The command that an identity in use stands for.
  @inline(__always)
  func command(_ identity: UInt16) -> Command {
    slots[Int(identity & 0x3ff)].command
  }

  /// Gives a slot back.
  @inline(__always)
  mutating func close(_ identity: UInt16) {
    let index = Int(identity & 0x3ff)
    slots[index].state = .free
    slots[index].generation = (slots[index].generation + 1) & 0x3f
    freeSlots.append(UInt16(index))
  }

  /// Leaves a command to itself.
  mutating func abandon(_ identity: UInt16) {
    slots[Int(identity & 0x3ff)].state = .abandoned
  }

  /// Keeps a reply until its caller looks for it.
  mutating func answer(_ identity: UInt16, _ reply: Reply) {
    slots[Int(identity & 0x3ff)].reply = reply
    slots[Int(identity & 0x3ff)].state = .answered
  }

  /// Takes a reply that was kept and gives the slot back.
  mutating func takeReply(_ identity: UInt16) -> Reply {
    let index = Int(identity & 0x3ff)
    let reply = slots[index].reply
    slots[index].reply = Reply()
    close(identity)
    return reply
  }
}

/// Keeps received descriptors in a place that can be copied.
final class ReceivedDescriptorsBox {
  var descriptors: ReceivedDescriptors

  init(_ descriptors: consuming ReceivedDescriptors) {
    self.descriptors = descriptors
  }
}
