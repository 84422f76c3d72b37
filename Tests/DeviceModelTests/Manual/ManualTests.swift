import DeviceModel
import Testing
import VFIOUser

@Suite("Manuals")
struct ManualTests {
  @Test("Q8: the manual as text")
  func text() {
    #expect(sampleManual.text() == goldenText)
  }

  @Test("Q8: the manual as Markdown")
  func markdown() {
    #expect(sampleManual.text(.markdown) == goldenMarkdown)
  }

  @Test("Q8: the manual as JSON holds every knob, register and field, with descriptions")
  func json() throws {
    let manual = try #require(sampleManual.json.objectValue)
    guard case .array(let knobs) = manual["knobs"], case .array(let blocks) = manual["registers"],
      case .array(let registers) = blocks.first?.objectValue?["registers"],
      case .array(let fields) = registers[1].objectValue?["fields"]
    else {
      Issue.record("arrays are missing")
      return
    }
    #expect(knobs.count == 3)
    #expect(registers.count == 5)
    #expect(fields.count == 2)
    for entry in knobs + registers + fields {
      #expect(entry.objectValue?["description"] != nil)
    }
    #expect(
      fields[1].text
        == #"{"access":"RW","description":"Whether it runs.","highBit":0,"lowBit":0,"#
        + #""meanings":[{"meaning":"stopped.","value":0},{"meaning":"running.","value":1}],"#
        + #""name":"RUN"}"#)
    #expect(
      knobs[1].text
        == #"{"default":65536,"description":"How much the tank holds.","maximum":1048576,"#
        + #""minimum":4096,"name":"tank","type":"size"}"#)
    #expect(sampleManual.text(.json).hasSuffix("}\n"))
  }

  @Test("Q8: a manual with a missing description does not validate")
  func validates() throws {
    try sampleManual.validate()
    func message(_ change: (inout DeviceManual) -> Void) -> String? {
      var manual = sampleManual
      change(&manual)
      do throws(DeclarationError) {
        try manual.validate()
        return nil
      } catch {
        return error.description
      }
    }
    #expect(message { $0.summary = " " } == "pump has no summary")
    #expect(
      message { $0.backends[0].description = "" }
        == "pump: backend file:PATH has no description")
    #expect(
      message { $0.knobs.append(Knob("dry", default: false, "")) }
        == "pump: knob dry has no description")
    #expect(
      message { $0.registers[0].registers[2].description = "" }
        == "pump, region 0: LVL has no description")
    #expect(
      message { $0.registers[0].registers[1].fields[0].description = "" }
        == "pump, region 0: CTL: field FULL has no description")
  }
}
