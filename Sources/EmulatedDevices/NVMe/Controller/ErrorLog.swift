import NVMe

/// The errors that a driver can ask for, the newest first.
///
/// Source: NVMe 1.4, section 5.14.1.1.
struct ErrorLog {
  /// How many entries are kept.
  static let capacity = 64

  /// How many errors there were since the controller was made.
  private(set) var count: UInt64 = 0
  private var entries: [ErrorInformationLogEntry] = []

  mutating func add(_ report: ErrorReport) {
    count &+= 1
    var entry = ErrorInformationLogEntry()
    entry.errorCount = count
    entry.submissionQueue = report.submissionQueue
    entry.commandIdentifier = report.commandIdentifier
    entry.statusField = report.status.rawValue << 1
    entry.parameterLocation = report.parameterLocation
    entry.block = report.block
    entry.namespace = report.namespace
    entries.insert(entry, at: 0)
    if entries.count > Self.capacity { entries.removeLast() }
  }

  /// The page: entries that do not exist are zeros.
  var page: [UInt8] {
    entries.flatMap(\.bytes)
      + [UInt8](
        repeating: 0,
        count: (Self.capacity - entries.count) * ErrorInformationLogEntry.byteCount)
  }
}
