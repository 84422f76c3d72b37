import CVFIOUserLinux
import Synchronization

/// How many mappings of peers' files this process may have.
///
/// The kernel bounds the mappings of a process (vm.max_map_count). Whoever uses up the last one takes
/// away what the allocator and new threads need, and the process dies of it: so a part is kept back.
///
/// Threads: any.
enum MappingBudget {
  private static let used = Atomic<Int>(0)

  /// An eighth is kept back, which is 8191 of the usual 65,530.
  static let limit: Int = {
    let most = systemLimit ?? 65530
    return most - most / 8
  }()

  /// Takes one mapping out of the budget; false when none is left.
  static func take() -> Bool {
    // Relaxed: the count orders nothing, it only has to be right in the end.
    if used.wrappingAdd(1, ordering: .relaxed).newValue <= limit { return true }
    giveBack()
    return false
  }

  /// Puts a mapping back.
  static func giveBack() { used.wrappingSubtract(1, ordering: .relaxed) }

  private static var systemLimit: Int? {
    // Safety: the C strings live for the time of the call; the stream is closed below.
    guard let file = unsafe fopen("/proc/sys/vm/max_map_count", "r") else { return nil }
    // Safety: the stream was opened above and is used nowhere else.
    defer { _ = unsafe fclose(file) }
    var text = [UInt8](repeating: 0, count: 32)
    // Safety: the call writes at most the array's length.
    let count = unsafe text.withUnsafeMutableBytes { buffer in
      unsafe fread(buffer.baseAddress, 1, buffer.count, file)
    }
    let digits = text.prefix(count).prefix { $0 >= 0x30 && $0 <= 0x39 }
    return Int(String(decoding: digits, as: UTF8.self))
  }
}
