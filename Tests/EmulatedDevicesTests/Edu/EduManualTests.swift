import Testing

@testable import DeviceModel
@testable import EmulatedDevices

@Suite("edu's manual")
struct EduManualTests {
  @Test("Q8: it covers every register, every field and every knob")
  func coverage() throws {
    let text = try EduDevice.declaration.manual().text(.markdown)
    for register in EduRegister.allCases {
      #expect(text.contains("(\(register.declaration.acronym))"))
      for field in register.declaration.fields { #expect(text.contains("| \(field.name) |")) }
    }
    for knob in EduDevice.declaration.knobs { #expect(text.contains("`\(knob.name)`")) }
    #expect(text.contains("- MSI: 1 vector"))
  }
}
