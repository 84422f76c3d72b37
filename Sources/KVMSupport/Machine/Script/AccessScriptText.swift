/// Access scripts as a person writes them: a step a line.
///
/// ```
/// # Everything after a number sign is a comment. Numbers are decimal, or hexadecimal after 0x.
/// config-write32 00:01.0 0x10 0xe0000000   # the configuration space of a PCI function
/// config-write16 00:01.0 4 2
/// read32   0xe0000000 -> id                # memory; the result gets a name, and is shown in the end
/// write32  0xe0000004 0x12345678           # 8, 16, 32 or 64 bits
/// expect32 0xe0000004 0xedcba987           # ends the script with status 512 unless it reads so
/// poll32   0xe0000020 0 mask 1 limit 1000  # reads until the masked value is so
/// in8      0x3fd -> status                 # ports: 8, 16 or 32 bits
/// out8     0x3f8 65
/// expect-in8 0x3fd 0x60 mask 0x60
/// print "done\n"                           # on the console
/// interrupts                               # takes interrupts from here on
/// on 0x41 write32 0xe0000064 1             # what the handler of a vector does
/// await 0x41 2                             # until the vector was taken twice since the beginning
/// write32 0x1000 $id                       # a result
/// cpu 1                                    # what follows is for another CPU
/// exit 3                                   # the status; 0 where it is left out
/// ```
public struct AccessScriptText: Sendable {
  /// A result that has a name.
  public struct Result: Hashable, Sendable {
    /// The CPU whose script it belongs to.
    public var cpu: Int
    /// Where it is among that script's results.
    public var slot: Int
    /// Its name.
    public var name: String
  }

  /// The script of each CPU.
  public private(set) var scripts: [AccessScript] = [AccessScript()]
  /// The results that have names, in the order in which they are first given.
  public private(set) var results: [Result] = []

  /// Reads a text.
  ///
  /// - Throws: ``AccessScriptTextError`` with the line that it does not understand.
  public init(_ text: String) throws(AccessScriptTextError) {
    var cpu = 0
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
    {
      do throws(Mistake) {
        var words = try Words(line)
        guard let verb = words.next() else { continue }
        if verb == "cpu" {
          cpu = try words.number(upTo: 15)
          while scripts.count <= cpu { scripts.append(AccessScript()) }
        } else {
          for operation in try operations(verb, &words, cpu) { scripts[cpu].append(operation) }
        }
        if let rest = words.next() { throw Mistake("\"\(rest)\" is too much") }
      } catch {
        throw AccessScriptTextError(line: index + 1, reason: error.reason)
      }
    }
  }

  /// Why a line is not understood.
  struct Mistake: Error {
    let reason: String
    init(_ reason: String) { self.reason = reason }
  }

  // MARK: Steps

  private mutating func operations(
    _ verb: String, _ words: inout Words, _ cpu: Int
  ) throws(Mistake) -> [AccessOperation] {
    switch verb {
    case "print":
      var script = AccessScript()
      script.print(try words.text())
      return script.operations
    case "interrupts": return [.enableInterrupts]
    case "await":
      let vector = try words.number(upTo: 255)
      let count = try words.isAtEnd ? 1 : words.number(upTo: Int(UInt32.max))
      return [.awaitInterrupts(vector: UInt8(vector), count: UInt32(count))]
    case "on":
      let vector = try words.number(upTo: 255)
      guard let inner = words.next() else { throw Mistake("what the handler does is missing") }
      let actions = try operations(inner, &words, cpu)
      guard actions.count == 1, let action = actions.first else {
        throw Mistake("a handler does one access")
      }
      return [.onInterrupt(vector: UInt8(vector), action)]
    case "exit": return [.exit(status: UInt8(try words.isAtEnd ? 0 : words.number(upTo: 255)))]
    default: return try access(verb, &words, cpu)
    }
  }

  private mutating func access(
    _ verb: String, _ words: inout Words, _ cpu: Int
  ) throws(Mistake) -> [AccessOperation] {
    guard let split = verb.firstIndex(where: \.isNumber), let bits = Int(verb[split...]) else {
      throw Mistake("\"\(verb)\" is no step")
    }
    let kind = verb[..<split]
    if kind.hasPrefix("config-") {
      return try configuration(kind.dropFirst(7), bits, &words, cpu)
    }
    let isPort = ["in", "out", "expect-in", "poll-in"].contains(kind)
    guard bits == 8 || bits == 16 || bits == 32 || bits == 64 && !isPort else {
      throw Mistake("\"\(verb)\": an access has 8, 16 or 32 bits, and of memory 64")
    }
    let address = GuestAddress(UInt64(try words.number(upTo: isPort ? 0xffff : 0xffff_ffff)))
    return [
      try step(
        isPort ? Self.memoryKind(kind) : kind, isPort ? .port : .memory, address, bits / 8, &words,
        cpu)
    ]
  }

  /// What a step on ports is called when it is one on memory.
  private static func memoryKind(_ kind: Substring) -> Substring {
    switch kind {
    case "in": "read"
    case "out": "write"
    case "expect-in": "expect"
    default: "poll"
    }
  }

  /// A step on configuration space: the address port, then the data port.
  private mutating func configuration(
    _ kind: Substring, _ bits: Int, _ words: inout Words, _ cpu: Int
  ) throws(Mistake) -> [AccessOperation] {
    guard let place = words.next(), let function = PCIAddress(place) else {
      throw Mistake("the address of a function is BUS:DEV.FN")
    }
    let offset = try words.number(upTo: 255)
    let byteCount = bits / 8
    guard [8, 16, 32].contains(bits), offset % byteCount == 0 else {
      throw Mistake("an access to configuration space has 8, 16 or 32 bits, and is aligned")
    }
    let select = UInt64(0x8000_0000 | function.requester << 8 | UInt32(offset) & 0xfc)
    let port = GuestAddress(0xcfc + UInt64(offset & 3))
    return [
      .write(.port, at: PCIHostBridge.addressPort, select, byteCount: 4),
      try step(kind, .port, port, byteCount, &words, cpu),
    ]
  }

  private mutating func step(
    _ kind: Substring, _ space: GuestSpace, _ address: GuestAddress, _ byteCount: Int,
    _ words: inout Words, _ cpu: Int
  ) throws(Mistake) -> AccessOperation {
    switch kind {
    case "read":
      guard words.skip("->") else { return .read(space, at: address, byteCount: byteCount) }
      guard let name = words.next() else { throw Mistake("the name of the result is missing") }
      return .read(space, at: address, byteCount: byteCount, into: define(name, cpu))
    case "write":
      if let name = words.result() {
        guard let known = results.first(where: { $0.cpu == cpu && $0.name == name }) else {
          throw Mistake("no result is called \"\(name)\"")
        }
        return .writeResult(space, at: address, of: known.slot, byteCount: byteCount)
      }
      return .write(space, at: address, try words.value(byteCount), byteCount: byteCount)
    case "expect", "poll":
      let value = try words.value(byteCount)
      let mask = words.skip("mask") ? try words.value(byteCount) : .max
      var limit = kind == "poll" ? UInt32.max : 1
      if kind == "poll", words.skip("limit") {
        limit = UInt32(try words.number(upTo: Int(UInt32.max)))
        guard limit > 0 else { throw Mistake("a limit is 1 at least") }
      }
      return .poll(
        space, at: address, byteCount: byteCount, mask: mask, until: value, limit: limit)
    default: throw Mistake("\"\(kind)\(byteCount * 8)\" is no step")
    }
  }

  /// The slot of a name; a name that is given again is overwritten.
  private mutating func define(_ name: String, _ cpu: Int) -> Int {
    if let known = results.first(where: { $0.cpu == cpu && $0.name == name }) { return known.slot }
    let slot = results.count { $0.cpu == cpu }
    results.append(Result(cpu: cpu, slot: slot, name: name))
    return slot
  }
}

extension AccessScriptText {
  /// The language, for people at a terminal.
  public static let help = """
    A script has a step a line; a number sign begins a comment, and numbers are decimal, or hexadecimal after 0x. \
    read32 ADDRESS [-> NAME], write32 ADDRESS VALUE and poll32 ADDRESS VALUE [mask MASK] [limit N] access memory in \
    8, 16, 32 or 64 bits; in8, out8 and poll-in8 access ports in up to 32; config-read16, config-write16 and \
    config-poll16 BUS:DEV.FN OFFSET access configuration space. expect32, expect-in8 and config-expect16 end the \
    script unless they read what they should. A VALUE may be a result, as $NAME; named results are shown in the end. \
    print "TEXT" prints, interrupts enables them, on VECTOR STEP says what a handler does, await VECTOR [COUNT] waits \
    until it was taken so often, cpu N begins the script of another CPU, exit [STATUS] ends.
    """
}
