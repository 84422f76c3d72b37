import DeviceProgram

/// Runs the steps of the demonstration and prints a line for each.
struct DemoReport {
  private let clock = ContinuousClock()

  /// Runs a step, and prints its name, the time it took and what came of it.
  ///
  /// - Parameters:
  ///   - byteCount: how much it moves, to say how fast; nil for a step that moves nothing.
  ///   - body: gives a value, and a line about it.
  /// - Throws: ``ProgramError`` that names the step.
  @discardableResult
  func step<Value>(
    _ name: String, moving byteCount: Int? = nil, _ body: () throws -> (Value, String)
  ) throws -> Value {
    let start = clock.now
    let value: Value
    var outcome: String
    do { (value, outcome) = try body() } catch {
      throw ProgramError(.runtime, "demo: \(name) failed: \(error)")
    }
    let time = clock.now - start
    if let byteCount { outcome += ", \(speed(byteCount, time))" }
    print("  \(pad(name, 32))\(pad(milliseconds(time), 11, atStart: true))  \(outcome)")
    return value
  }

  /// Throws `message` unless `condition` holds.
  func expect(_ condition: Bool, _ message: @autoclosure () -> String) throws {
    guard condition else { throw ProgramError(.runtime, message()) }
  }

  /// A time with three places after the point.
  func milliseconds(_ duration: Duration) -> String {
    let (seconds, attoseconds) = duration.components
    let microseconds = seconds * 1_000_000 + attoseconds / 1_000_000_000_000
    let fraction = String(microseconds % 1000)
    return "\(microseconds / 1000)." + String(repeating: "0", count: 3 - fraction.count)
      + "\(fraction) ms"
  }

  /// How fast so many bytes were moved.
  private func speed(_ byteCount: Int, _ duration: Duration) -> String {
    let (seconds, attoseconds) = duration.components
    let nanoseconds = max(seconds * 1_000_000_000 + attoseconds / 1_000_000_000, 1)
    return "\(Int64(byteCount) * 1000 / nanoseconds) MB/s"
  }

  /// FNV-1a, 32 bits.
  func checksum(_ bytes: [UInt8]) -> UInt32 {
    var sum: UInt32 = 2_166_136_261
    for byte in bytes { sum = (sum ^ UInt32(byte)) &* 16_777_619 }
    return sum
  }

  /// A number as `0x…`.
  func hexadecimal(_ value: some BinaryInteger) -> String { "0x" + String(value, radix: 16) }

  private func pad(_ text: String, _ width: Int, atStart: Bool = false) -> String {
    let space = String(repeating: " ", count: max(0, width - text.count))
    return atStart ? space + text : text + space
  }
}
