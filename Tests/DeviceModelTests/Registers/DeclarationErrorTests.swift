import Testing

@testable import DeviceModel

@Suite("Mistakes in register declarations")
struct DeclarationErrorTests {
  private func message(_ declarations: Register..., byteCount: Int? = nil) -> String? {
    do throws(DeclarationError) {
      _ = try RegisterPlan(name: "dev", declarations: declarations, byteCount: byteCount)
      return nil
    } catch {
      return error.description
    }
  }

  private func register(
    _ acronym: String = "R", at offset: Int = 0, bytes: Int = 4,
    _ access: RegisterAccess = .readWrite,
    reset: UInt64 = 0, effects: RegisterEffects = .none, bank: RegisterBank? = nil,
    array: RegisterArray? = nil, text: String = "Text.", fields: [Field] = []
  ) -> Register {
    Register(
      acronym, "Name", at: offset, bytes: bytes, access, reset: reset, effects: effects, bank: bank,
      array: array, text, fields)
  }

  @Test("Q8: a missing description is refused, of a register or of a field")
  func descriptions() {
    #expect(message(register()) == nil)
    #expect(message(register(text: " \n")) == "dev: R has no description")
    #expect(
      message(register(fields: [Field("F", 0, "")])) == "dev: R: field F has no description")
    #expect(
      message(register("")) == "dev: the register at 0x0 has no acronym")
  }

  @Test("Q8: widths other than 1, 2, 4 and 8 are refused", arguments: [-1, 0, 3, 5, 16])
  func widths(bytes: Int) {
    #expect(
      message(register(bytes: bytes))
        == "dev: R is \(bytes) bytes wide; 1, 2, 4 and 8 are possible")
  }

  @Test("Q8: misaligned, negative and distant offsets are refused")
  func offsets() {
    #expect(message(register(at: 2)) == "dev: R is at 0x2, not a multiple of 4")
    #expect(message(register(at: 4, bytes: 8)) == nil)
    #expect(message(register(at: 6, bytes: 8)) == "dev: R is at 0x6, not a multiple of 4")
    #expect(message(register(at: -4)) == "dev: R is at -4, outside 0 to 16 MiB")
    #expect(message(register(at: 1 << 30)) == "dev: R is at 1073741824, outside 0 to 16 MiB")
    #expect(
      message(register(at: 0x10), byteCount: 0x10)
        == "dev: registers end at 0x14, outside its 16 bytes")
  }

  @Test("Q8: overlapping registers are refused and both are named")
  func overlaps() {
    #expect(
      message(register("A", at: 0), register("B", at: 2, bytes: 2))
        == "dev: A and B overlap for reads at 0x2 in bank 0")
    #expect(
      message(
        register("A", at: 0, array: RegisterArray(count: 4, stride: 8)), register("B", at: 0x10))
        == "dev: A[2] and B overlap for reads at 0x10 in bank 0")
  }

  @Test("Q8: one offset may hold a read-only and a write-only register, but not two of a kind")
  func directions() {
    #expect(message(register("A", .readOnly), register("B", .writeOnly)) == nil)
    #expect(message(register("A", .readToClear), register("B", .writeOnly)) == nil)
    #expect(
      message(register("A", .readOnly), register("B", .readOnly))
        == "dev: A and B overlap for reads at 0x0 in bank 0")
    #expect(
      message(register("A", .readOnly, effects: .write), register("B", .writeOnly))
        == "dev: A and B overlap for writes at 0x0 in bank 0")
  }

  @Test("Q8: registers of different banks may share an offset; one in all banks may not join them")
  func banks() {
    let zero = RegisterBank(0, "X is 0")
    let one = RegisterBank(1, "X is 1")
    #expect(message(register("A", bank: zero), register("B", bank: one)) == nil)
    #expect(
      message(register("A"), register("B", bank: one))
        == "dev: A and B overlap for reads at 0x0 in bank 1")
    #expect(
      message(register(bank: RegisterBank(16, "never")))
        == "dev: R is in bank 16; 0 to 15 are possible")
    #expect(
      message(register(bank: RegisterBank(1, "")))
        == "dev: R: bank 1 does not say when it is visible")
  }

  @Test("Q8: values, fields, arrays and names that do not fit are refused")
  func misfits() {
    #expect(
      message(register(bytes: 1, reset: 0x100))
        == "dev: R: reset value 0x100 needs more than 1 bytes")
    #expect(
      message(register(fields: [Field("F", 30...32, "Text.")]))
        == "dev: R: field F covers bits 30 to 32 of 32")
    #expect(
      message(register(fields: [Field("F", 0...3, "Text."), Field("G", 3, "Text.")]))
        == "dev: R: field G overlaps another")
    #expect(
      message(register(fields: [Field("F", 0, "Text."), Field("F", 3, "Text.")]))
        == "dev: R: two fields are called F")
    #expect(
      message(register(array: RegisterArray(count: 0, stride: 4)))
        == "dev: R: 0 elements; 1 to 65534 are possible")
    #expect(
      message(register(array: RegisterArray(count: 2, stride: 2)))
        == "dev: R: a stride of 2 bytes does not fit 4 bytes")
    #expect(
      message(register("R"), register("R", at: 4)) == "dev: two registers are called R")
  }

  @Test("Q8: the largest stride and count end in an error, not in an overflow")
  func hugeArray() {
    #expect(
      message(register(array: RegisterArray(count: 65534, stride: 1 << 24)))?
        .hasSuffix("above 16 MiB") == true)
    #expect(
      message(register(array: RegisterArray(count: 2, stride: .max)))
        == "dev: R: a stride of \(Int.max) bytes does not fit 4 bytes")
  }

  private enum OwnRawValues: Int, RegisterMap {
    case one = 5
    var declaration: Register { Register("R", "Name", at: 0, bytes: 4, .readOnly, "Text.") }
  }

  @Test("Q8: cases with raw values of their own are refused")
  func rawValues() {
    let error = #expect(throws: DeclarationError.self) { try RegisterBlock<OwnRawValues>() }
    #expect(error?.description == "OwnRawValues: case one must not set a raw value of its own")
  }
}
