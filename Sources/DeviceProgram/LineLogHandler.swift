import Logging
import CVFIOUserLinux

/// Writes each log record as one line on standard error: time, level, label, message, metadata.
///
/// `2026-02-03T04:05:06.789Z notice edu: client connected id=3`
///
/// Line breaks within a record are replaced, so that a peer cannot forge records.
public struct LineLogHandler: LogHandler {
  /// Records below this level are dropped.
  public var logLevel: Logger.Level
  /// Metadata of every record.
  public var metadata: Logger.Metadata = [:]
  private let label: String

  /// Makes a handler.
  public init(label: String, level: Logger.Level) {
    self.label = label
    logLevel = level
  }

  /// Reads or sets one item of the metadata of every record.
  public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  /// Writes a record.
  public func log(event: LogEvent) {
    var line = "\(Self.timestamp()) \(event.level) \(label): \(event.message)"
    let all = metadata.merging(event.metadata ?? [:]) { _, own in own }
    for (key, value) in all.sorted(by: { $0.key < $1.key }) { line += " \(key)=\(value)" }
    ProgramEntry.printError(Self.printable(line))
  }

  /// A logger that writes through this handler, whatever the process's logging system is set to.
  public static func logger(label: String, level: Logger.Level) -> Logger {
    Logger(label: label) { LineLogHandler(label: $0, level: level) }
  }

  /// The text with control characters replaced.
  static func printable(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7f }) else {
      return text
    }
    return String(
      String.UnicodeScalarView(
        text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7f ? " " : $0 }))
  }

  /// The time of day in UTC, with milliseconds, as ISO 8601 writes it.
  private static func timestamp() -> String {
    var now = timespec()
    // Safety: a zeroed structure of the C library's is valid; its zone name is never looked at.
    var parts = unsafe tm()
    // Safety: both calls only touch the local variables that they are given.
    _ = unsafe clock_gettime(CLOCK_REALTIME, &now)
    _ = unsafe gmtime_r(&now.tv_sec, &parts)
    // Safety: plain numbers that gmtime_r has filled in.
    let numbers = unsafe [
      parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min,
      parts.tm_sec,
    ]
    let words = numbers.map { digits($0, 2) }
    return words[0...2].joined(separator: "-") + "T" + words[3...5].joined(separator: ":") + "."
      + digits(now.tv_nsec / 1_000_000, 3) + "Z"
  }

  private static func digits(_ value: some BinaryInteger, _ count: Int) -> String {
    let text = String(value)
    return String(repeating: "0", count: max(0, count - text.count)) + text
  }
}
