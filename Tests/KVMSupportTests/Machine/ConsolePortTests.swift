import Synchronization
import Testing

@testable import KVMSupport

@Suite struct ConsolePortTests {
  private final class Output: Sendable {
    let bytes = Mutex<[UInt8]>([])
  }

  private let output = Output()

  private func make() -> ConsolePort {
    let output = output
    return ConsolePort { byte in output.bytes.withLock { $0.append(byte) } }
  }

  @Test("The console is always ready, and hands each byte on")
  func printing() {
    let console = make()
    for byte in "hi\n".utf8 {
      #expect(console.read(at: 5, byteCount: 1) & 0x60 == 0x60)
      console.write(UInt64(byte), at: 0, byteCount: 1)
    }
    #expect(output.bytes.withLock { $0 } == Array("hi\n".utf8))
    #expect(console.outputByteCount == 3)
  }

  @Test("Setting the speed prints nothing, and registers keep what they are for")
  func registers() {
    let console = make()
    console.write(0x83, at: 3, byteCount: 1)
    console.write(0x0c, at: 0, byteCount: 1)
    console.write(0x01, at: 1, byteCount: 1)
    #expect(console.read(at: 0, byteCount: 2) == 0x010c)
    console.write(0x03, at: 3, byteCount: 1)
    #expect(console.read(at: 1, byteCount: 1) == 0)
    #expect(console.read(at: 2, byteCount: 1) == 1)
    console.write(0x5a, at: 7, byteCount: 1)
    #expect(console.read(at: 7, byteCount: 1) == 0x5a)
    #expect(output.bytes.withLock { $0.isEmpty })
  }

  @Test("What is typed is read once, and too much of it is dropped")
  func typing() {
    let console = make()
    #expect(console.read(at: 5, byteCount: 1) & 1 == 0)
    console.type([1, 2])
    #expect(console.read(at: 5, byteCount: 1) & 1 == 1)
    #expect(console.read(at: 0, byteCount: 1) == 1)
    #expect(console.read(at: 0, byteCount: 1) == 2)
    #expect(console.read(at: 5, byteCount: 1) & 1 == 0)
    console.type([UInt8](repeating: 7, count: 10_000))
    var count = 0
    while console.read(at: 5, byteCount: 1) & 1 == 1 {
      _ = console.read(at: 0, byteCount: 1)
      count += 1
    }
    #expect(count == 4096)
  }
}
