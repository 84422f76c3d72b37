import DeviceModel
import Testing

private enum Speed: String, CaseIterable, Sendable { case slow, fast }

private let lines = Knob("lines", default: 16, in: 1...32, "How many input lines there are.")
private let signed = Knob("offset", default: 0, in: -8...8, "An offset.")
private let memory = Knob(
  "memory", defaultByteCount: 64 << 10, in: 4096...1 << 30, "Bytes of memory.")
private let trace = Knob("trace", default: false, "Whether accesses are logged.")
private let label = Knob("label", default: "", "A name for logs.")
private let speed = Knob("speed", default: Speed.slow, "How fast it runs.")
private let all: [any KnobDeclaration] = [lines, signed, memory, trace, label, speed]

@Suite("Knobs")
struct KnobTests {
  private func realised(_ settings: String...) throws -> KnobValues {
    var knobs = try KnobValues(device: "dev", declaring: all)
    for setting in settings { try knobs.set(setting) }
    return knobs
  }

  private func refusal(_ setting: String) throws -> KnobError? {
    var knobs = try KnobValues(device: "dev", declaring: all)
    do throws(KnobError) {
      try knobs.set(setting)
      return nil
    } catch {
      return error
    }
  }

  @Test("Q7: knobs that nobody sets have their defaults")
  func defaults() throws {
    let knobs = try realised()
    #expect(knobs[lines] == 16)
    #expect(knobs[memory] == 65536)
    #expect(knobs[trace] == false)
    #expect(knobs[label] == "")
    #expect(knobs[speed] == .slow)
    #expect(knobs.text(of: "memory") == "64K")
    #expect(knobs.text(of: "none") == nil)
  }

  @Test("Q7: settings of every type arrive with their types")
  func settings() throws {
    let knobs = try realised(
      "lines=0x20", "offset=-3", "memory=2M", "trace=on", "label=a=b c", "speed=fast", "lines=7")
    #expect(knobs[lines] == 7)
    #expect(knobs[signed] == -3)
    #expect(knobs[memory] == 2 << 20)
    #expect(knobs[trace])
    #expect(knobs[label] == "a=b c")
    #expect(knobs[speed] == .fast)
  }

  @Test("Q7: sizes take suffixes of either case", arguments: ["65536", "64K", "64k", "0x40K"])
  func sizes(text: String) throws {
    #expect(try realised("memory=\(text)")[memory] == 65536)
  }

  @Test("Q7: an unknown knob is refused with the list of those that exist")
  func unknown() throws {
    let error = try refusal("line=3")
    #expect(error?.code == .unknownKnob)
    #expect(
      error?.description
        == "dev has no knob \"line\"; it has: lines, offset, memory, trace, label, speed")
    var none = try KnobValues(device: "dev", declaring: [])
    let empty = #expect(throws: KnobError.self) { try none.set("a=1") }
    #expect(empty?.description == "dev has no knob \"a\"; it has none")
  }

  @Test("Q7: a value out of range is refused with the range")
  func outOfRange() throws {
    #expect(
      try refusal("lines=33")?.description
        == "dev: lines takes an integer from 1 to 32; 33 is outside")
    #expect(
      try refusal("memory=2G")?.description
        == "dev: memory takes a size from 4K to 1G; 2G is outside")
    #expect(try refusal("lines=33")?.code == .outOfRange)
  }

  @Test(
    "Q7: a value of another type is refused with what the knob takes",
    arguments: [
      ("lines=many", "dev: lines takes an integer from 1 to 32, not \"many\""),
      ("lines=", "dev: lines takes an integer from 1 to 32, not \"\""),
      ("lines=0x", "dev: lines takes an integer from 1 to 32, not \"0x\""),
      ("lines=0x-5", "dev: lines takes an integer from 1 to 32, not \"0x-5\""),
      ("memory=K", "dev: memory takes a size from 4K to 1G, not \"K\""),
      (
        "memory=99999999999999999G",
        "dev: memory takes a size from 4K to 1G, not \"99999999999999999G\""
      ),
      ("trace=maybe", "dev: trace takes on or off, not \"maybe\""),
      ("speed=warp", "dev: speed takes one of slow, fast, not \"warp\""),
    ])
  func wrongType(setting: String, message: String) throws {
    let error = try refusal(setting)
    #expect(error?.description == message)
    #expect(error?.code == .wrongType)
  }

  @Test(
    "Q7: a setting without a name or an equals sign is refused", arguments: ["lines", "=3", ""])
  func malformed(setting: String) throws {
    let error = try refusal(setting)
    #expect(error?.code == .malformed)
    #expect(error?.description == "dev: write a knob as NAME=VALUE, not \"\(setting)\"")
  }

  @Test("Q7: a set at run time is refused and changes nothing")
  func fixed() throws {
    var knobs = try realised("lines=4")
    knobs.fix()
    let error = #expect(throws: KnobError.self) { try knobs.set("lines=5") }
    #expect(error?.code == .fixed)
    #expect(
      error?.description == "dev: lines cannot be set any more, the device is running")
    #expect(knobs[lines] == 4)
  }

  @Test("Q8: a missing description, a bad name, a bad default and a duplicate fail to realise")
  func declarations() {
    func message(_ knobs: any KnobDeclaration...) -> String? {
      do throws(DeclarationError) {
        _ = try KnobValues(device: "dev", declaring: knobs)
        return nil
      } catch {
        return error.description
      }
    }
    #expect(message(Knob("a", default: true, " ")) == "dev: knob a has no description")
    #expect(
      message(Knob("A b", default: true, "Text."))
        == "dev: knob \"A b\" needs a name of lower-case letters, digits and hyphens")
    #expect(
      message(Knob("a", default: 9, in: 0...8, "Text."))
        == "dev: knob a has the default 9, which is not an integer from 0 to 8")
    #expect(message(lines, lines) == "dev: two knobs are called lines")
    #expect(message() == nil)
  }
}
