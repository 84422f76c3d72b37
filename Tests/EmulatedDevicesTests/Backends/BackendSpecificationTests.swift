import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

@Suite("Backend specifications")
struct BackendSpecificationTests {
  @Test(
    "E20: a specification is understood",
    arguments: [
      ("stdio", .stdio), ("pty", .pty), ("file:/tmp/a:b", .file(path: "/tmp/a:b")),
      ("unix:console", .unix(path: "console")),
    ] as [(String, BackendSpecification)])
  func understood(text: String, expected: BackendSpecification) throws {
    #expect(try BackendSpecification(text) == expected)
    #expect(expected.description == text)
  }

  @Test(
    "E20: a wrong specification is answered with one line that says what to write",
    arguments: [
      ("", "there is no backend \"\"; write stdio, pty, file:PATH or unix:PATH"),
      ("tcp:1", "there is no backend \"tcp:1\"; write stdio, pty, file:PATH or unix:PATH"),
      ("file", "backend \"file\" needs a path: write file:PATH"),
      ("unix:", "backend \"unix:\" needs a path: write unix:PATH"),
      ("stdio:x", "backend \"stdio:x\" takes nothing after it: write stdio"),
    ])
  func refused(text: String, expected: String) {
    let error = #expect(throws: BackendError.self) { try BackendSpecification(text) }
    #expect(error?.description == expected)
    #expect(error?.code == .malformed)
  }

  @Test("E20: a path too long for a socket is refused")
  func longPath() {
    let error = #expect(throws: BackendError.self) {
      try BackendSpecification("unix:/" + String(repeating: "x", count: 107))
    }
    #expect(error?.code == .malformed)
  }

  @Test("E20: what the host refuses is answered with one line")
  func unavailable() throws {
    let bench = try BackendBench()
    let error = #expect(throws: BackendError.self) {
      try bench.attach("file:\(bench.folder)/none/file")
    }
    #expect(
      error?.description
        == "backend file:\(bench.folder)/none/file: there is no such folder; make it or use"
        + " another path")
    #expect(error?.errno == .noSuchFileOrDirectory)
  }
}
