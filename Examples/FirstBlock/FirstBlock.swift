import Glibc

/// Prints the first block of an NVMe disk that a vfio-user server serves: `FirstBlock SOCKET`.
@main enum FirstBlock {
  static func main() {
    guard CommandLine.arguments.count == 2 else {
      print("usage: FirstBlock SOCKET")
      exit(64)
    }
    do {
      let driver = try DiskDriver(path: CommandLine.arguments[1])
      let block = try driver.readFirstBlock()
      try driver.close()
      for line in stride(from: 0, to: block.count, by: 16) {
        print(block[line..<min(line + 16, block.count)].map(hexadecimal).joined(separator: " "))
      }
    } catch {
      print("FirstBlock: \(error)")
      exit(1)
    }
  }

  private static func hexadecimal(_ byte: UInt8) -> String {
    (byte < 16 ? "0" : "") + String(byte, radix: 16)
  }
}
