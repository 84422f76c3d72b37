import DeviceModel
import DeviceProgram
import EmulatedDevices
import Testing
import VFIOUser

/// `vfio-user devices`.
@Suite struct ManualTests {
  @Test("Q8: the manual holds every knob and its description", arguments: DeviceCatalogue.names)
  func knobs(_ name: String) throws {
    let device = try #require(DeviceCatalogue.device(named: name))
    let outcome = try Program.run("vfio-user", ["devices", name, "--format", "markdown"])
    #expect(outcome.ending == .exited(0))
    for knob in device.declaration.knobs {
      #expect(outcome.output.contains(knob.name))
      #expect(outcome.output.contains(knob.description))
    }
  }

  @Test("Q8: the manual holds every register and field with its description")
  func registers() throws {
    let outcome = try Program.run("vfio-user", ["devices", "edu", "--format", "markdown"])
    for register in EduRegister.declarations {
      #expect(outcome.output.contains(register.acronym))
      #expect(outcome.output.contains(register.description))
      for field in register.fields { #expect(outcome.output.contains(field.description)) }
    }
  }

  @Test("The manual comes as text, Markdown and JSON, of one device or all")
  func formats() throws {
    let text = try Program.run("vfio-user", ["devices"])
    #expect(text.ending == .exited(0))
    for name in DeviceCatalogue.names { #expect(text.output.contains("\(name): ")) }
    let markdown = try Program.run("vfio-user", ["devices", "edu", "--format", "markdown"])
    #expect(markdown.output.contains("# edu"))
    let one = try Program.run("vfio-user", ["devices", "edu", "--format", "json"])
    #expect(try parse(one.output).objectValue?["name"] == .string("edu"))
    let all = try Program.run("vfio-user", ["devices", "--format", "json"])
    guard case .array(let manuals) = try parse(all.output) else {
      return #expect(Bool(false), "all manuals are an array")
    }
    #expect(manuals.count == DeviceCatalogue.all.count)
  }

  private func parse(_ text: String) throws -> JSONValue {
    let line = text.hasSuffix("\n") ? String(text.dropLast()) : text
    return try JSONParser.parse(Array(line.utf8))
  }
}
