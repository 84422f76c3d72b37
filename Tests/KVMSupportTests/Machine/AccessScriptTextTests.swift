import Testing

@testable import KVMSupport

@Suite struct AccessScriptTextTests {
  @Test("A script's lines become its steps")
  func steps() throws {
    let text = try AccessScriptText(
      """
      # a comment
      read32 0xe0000000 -> id   # another
      write64 4096 0x1122334455667788

      out8 0x3f8 65
      in16 0x10 -> word
      expect32 0xe0000004 7 mask 0xf
      poll-in8 0x3fd 0x60 mask 0x60 limit 10
      write32 0x1000 $id
      interrupts
      on 0x41 write32 0xe0000064 1
      await 0x41 2
      print "a\\"\\n"
      exit 3
      """)
    let place = GuestAddress(0xe000_0000)
    #expect(
      text.scripts == [
        AccessScript([
          .read(at: place, byteCount: 4, into: 0),
          .write(at: GuestAddress(4096), 0x1122_3344_5566_7788, byteCount: 8),
          .write(.port, at: GuestAddress(0x3f8), 65, byteCount: 1),
          .read(.port, at: GuestAddress(0x10), byteCount: 2, into: 1),
          .poll(at: GuestAddress(0xe000_0004), byteCount: 4, mask: 0xf, until: 7, limit: 1),
          .poll(
            .port, at: GuestAddress(0x3fd), byteCount: 1, mask: 0x60, until: 0x60, limit: 10),
          .writeResult(at: GuestAddress(0x1000), of: 0, byteCount: 4), .enableInterrupts,
          .onInterrupt(
            vector: 0x41, .write(at: GuestAddress(0xe000_0064), 1, byteCount: 4)),
          .awaitInterrupts(vector: 0x41, count: 2),
          .write(.port, at: GuestAddress(0x3f8), 0x61, byteCount: 1),
          .write(.port, at: GuestAddress(0x3f8), 0x22, byteCount: 1),
          .write(.port, at: GuestAddress(0x3f8), 0x0a, byteCount: 1), .exit(status: 3),
        ])
      ])
    #expect(text.results.map(\.name) == ["id", "word"])
  }

  @Test("Configuration space is reached through the ports")
  func configuration() throws {
    let text = try AccessScriptText(
      "config-write8 00:03.1 0x3d 9\nconfig-read32 00:03.1 8 -> class")
    let select = GuestAddress(0xcf8)
    #expect(
      text.scripts.first?.operations == [
        .write(.port, at: select, 0x8000_193c, byteCount: 4),
        .write(.port, at: GuestAddress(0xcfd), 9, byteCount: 1),
        .write(.port, at: select, 0x8000_1908, byteCount: 4),
        .read(.port, at: GuestAddress(0xcfc), byteCount: 4, into: 0),
      ])
  }

  @Test("Each CPU has its script, and its results")
  func cpus() throws {
    let text = try AccessScriptText(
      "read8 1 -> a\ncpu 2\nread8 2 -> a\nread8 3 -> b\ncpu 0\nread8 4 -> a")
    #expect(text.scripts.map(\.operations.count) == [2, 0, 2])
    #expect(text.results.map(\.slot) == [0, 0, 1])
    #expect(text.results.map(\.cpu) == [0, 2, 2])
  }

  @Test(
    "A line that is not understood is named",
    arguments: [
      ("frobnicate", "no step"), ("read", "no step"), ("read12 0", "8, 16 or 32"),
      ("in64 0", "8, 16 or 32"), ("read32", "number is missing"), ("read32 x", "no number"),
      ("read32 0x100000000", "more than"), ("out8 0x10000 1", "more than"),
      ("write8 0 256", "more than 8 bits"), ("read8 0 ->", "name of the result"),
      ("write8 0 $x", "no result"), ("read8 0 1", "too much"), ("print hello", "quotes"),
      ("print \"hello", "ends with a quote"), ("print \"\\x\"", "backslash"),
      ("config-read32 3 0", "BUS:DEV.FN"), ("config-read32 00:03.0 2", "aligned"),
      ("on 65 print \"ab\"", "one access"), ("on 65", "missing"), ("await 256", "more than"),
      ("cpu 16", "more than"), ("exit 256", "more than"), ("poll8 0 0 limit 0", "1 at least"),
      ("expect-out8 0 0", "no step"),
    ])
  func mistakes(_ line: String, _ reason: String) {
    let error = #expect(throws: AccessScriptTextError.self) {
      try AccessScriptText("# first\n\(line)\n")
    }
    #expect(error?.line == 2)
    #expect(error?.reason.contains(reason) == true, "\(error?.reason ?? "")")
  }
}
