import BlockStorage
import Testing

@Suite struct StorageSpecificationTests {
  @Test(
    "Specifications are understood, and say themselves again",
    arguments: [
      ("memory:1G", "memory:1G"), ("memory:1024m", "memory:1G"), ("memory:4096", "memory:4K"),
      ("memory:1536", "memory:1536"), ("null:2T", "null:2T"), ("file:/a/b.img", "file:/a/b.img"),
      ("file:a:b", "file:a:b"), ("file:a,direct=on", "file:a,direct=on"),
      ("file:a,readonly=on,direct=on", "file:a,direct=on,readonly=on"),
      ("file:a,direct=off", "file:a"), ("file:a,,b,,,direct=on", "file:a,,b,,,direct=on"),
      ("file:a,engine=threads", "file:a,engine=threads"), ("file:a,engine=auto", "file:a"),
      ("nbd:nbd://host/x", "nbd:nbd://host/x"), ("nbd://host", "nbd:nbd://host"),
      ("nbd:nbd+unix:///?socket=/a", "nbd:nbd+unix:///?socket=/a"),
      ("nbd+unix:///?socket=/a", "nbd:nbd+unix:///?socket=/a"),
    ])
  func understood(_ text: String, _ form: String) throws {
    #expect(try StorageSpecification(text).description == form)
  }

  @Test("Commas written twice belong to the path")
  func commas() throws {
    var options = FileStorageOptions()
    options.isReadOnly = true
    #expect(try StorageSpecification("file:a,,b,readonly=on") == .file(path: "a,b", options))
  }

  @Test(
    "What is not understood is refused in one line that says what to write",
    arguments: [
      ("", "memory:SIZE"), ("memory", "memory:SIZE"), ("floppy:1M", "memory:SIZE"),
      ("memory:", "such as 1G"), ("memory:1X", "such as 1G"), ("memory:-1", "such as 1G"),
      ("memory:G", "such as 1G"), ("null:99999999999999999999", "such as 1G"),
      ("memory:8388608T", "such as 1G"), ("memory:0", "multiple of 512"),
      ("null:1000", "multiple of 512"), ("file:", "file:PATH"), ("file:,direct=on", "file:PATH"),
      ("file:a,direct", "direct=on"), ("file:a,direct=yes", "direct=on"),
      ("file:a,readonly=", "readonly=on"), ("file:a,engine=x", "engine=threads"),
      ("file:a,b", "written twice"), ("file:a,", "written twice"), ("nbd:", "needs a URI"),
    ])
  func refused(_ text: String, _ part: String) {
    let error = #expect(throws: StorageError.self) { try StorageSpecification(text) }
    #expect(error?.code == .malformed)
    #expect(error?.description.contains(part) == true, "\(error?.description ?? "")")
    #expect(error?.description.contains("\n") == false)
  }

  @Test("Memory and null storages open with the size that was asked for")
  func opens() throws {
    for text in ["memory:1M", "null:1M"] {
      let storage = try StorageSpecification(text).open()
      #expect(storage.byteCount == 1 << 20)
      #expect(storage.name == text)
      #expect(!storage.traits.isReadOnly)
    }
    #expect(throws: StorageError.self) { try StorageSpecification("memory:4194304T").open() }
  }
}
