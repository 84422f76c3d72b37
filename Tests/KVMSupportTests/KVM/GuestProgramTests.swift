import Glibc
import KVMSupport
import Testing

@Suite("Guest programs")
struct GuestProgramTests {
  /// The package's folder.
  private static let root = String(#filePath.split(separator: "/Tests/KVMSupportTests/")[0])

  /// The standard output of a shell command, or nil where it fails.
  private static func output(_ command: String) -> [UInt8]? {
    guard let stream = popen(command, "r") else { return nil }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while case let count = fread(&buffer, 1, buffer.count, stream), count > 0 {
      bytes += buffer[..<count]
    }
    return pclose(stream) == 0 ? bytes : nil
  }

  private static let canAssemble =
    output("echo nop | as --32 -o /dev/null 2>/dev/null && ld --help | grep elf_i386") != nil

  @Test(
    "The bytes that are kept are those of the source",
    .enabled(if: canAssemble, "no assembler and linker for i386"),
    arguments: GuestProgram.all)
  func sameBytes(program: GuestProgram) throws {
    let assembled = try #require(
      Self.output("'\(Self.root)/Scripts/guests' bytes \(program.name)"))
    #expect(assembled == program.bytes, "run Scripts/guests")
  }

  @Test("Every source is kept")
  func everySource() throws {
    let names = try #require(Self.output("ls '\(Self.root)/Guests'"))
    let sources = String(decoding: names, as: UTF8.self).split(separator: "\n")
      .filter { $0.hasSuffix(".s") }.map { String($0.dropLast(2)) }
    #expect(!sources.isEmpty)
    #expect(GuestProgram.all.map(\.name).sorted() == sources.sorted())
  }
}
