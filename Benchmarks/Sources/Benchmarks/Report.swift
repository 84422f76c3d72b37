/// Prints a benchmark's line, and whether its aim was met.
struct Report {
  private(set) var missed = 0

  func title(_ text: String) { print("\n\(text)") }

  func line(_ name: String, _ value: String) {
    let padding = String(repeating: " ", count: max(1, 52 - name.count))
    print("  \(name)\(padding)\(value)")
  }

  /// A figure that has an aim. Benchmarks never fail a build: the aim is printed beside it.
  mutating func aim(_ name: String, _ value: String, _ aim: String, isMet: Bool) {
    if !isMet { missed += 1 }
    line(name, "\(value)   aim: \(aim)   \(isMet ? "met" : "MISSED")")
  }
}

extension Double {
  /// The value with a fixed number of decimals.
  func text(_ decimals: Int = 2) -> String {
    guard isFinite else { return "-" }
    var scale = 1.0
    for _ in 0..<decimals { scale *= 10 }
    let scaled = Int((self * scale).rounded())
    guard decimals > 0 else { return String(scaled) }
    let digits = String(abs(scaled) % Int(scale))
    let padded = String(repeating: "0", count: decimals - digits.count) + digits
    return (scaled < 0 ? "-" : "") + "\(abs(scaled) / Int(scale)).\(padded)"
  }

  /// Nanoseconds as a person reads them.
  var duration: String { self < 10_000 ? "\(text(1)) ns" : "\((self / 1000).text(1)) us" }
}
