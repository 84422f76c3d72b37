import CVFIOUserLinux
import Glibc
import Testing

@testable import VFIOUser

/// The table of `docs/errors.md`.
struct ErrorTable {
  /// What a fault is answered with.
  enum Answer: Hashable, Sendable {
    case refused(Errno)
    case refusedAndClosed(Errno)
    case closed
    case ignored
    case served
    case failsDevice(Errno)

    static let errnos: [String: Errno] = [
      "EINVAL": .invalidArgument, "EEXIST": .fileExists, "ENOENT": .noSuchFileOrDirectory,
      "ENOSPC": .noSpace, "ENOTSUP": .notSupported, "ENOTTY": Errno(rawValue: ENOTTY),
      "ENODEV": Errno(rawValue: ENODEV), "EACCES": .permissionDenied, "EIO": .ioError,
      "ENXIO": .noSuchAddressOrDevice, "ECANCELED": .canceled,
    ]

    init?(_ text: String) {
      switch text {
      case "closed": self = .closed
      case "ignored": self = .ignored
      case "served": self = .served
      default:
        let parts = text.split(separator: " ", maxSplits: 1)
        guard let errno = parts.first.flatMap({ Self.errnos[String($0)] }) else { return nil }
        switch parts.dropFirst().first {
        case nil: self = .refused(errno)
        case "and closed": self = .refusedAndClosed(errno)
        case "to the device": self = .failsDevice(errno)
        default: return nil
        }
      }
    }
  }

  struct Row: Sendable, CustomTestStringConvertible {
    let command: String
    let fault: String
    let answer: Answer?
    let source: String

    var name: String { "\(command): \(fault)" }
    var testDescription: String { name }
  }

  let rows: [Row]

  /// The table in the repository that this file belongs to.
  static let documented = ErrorTable(text: read(path()))

  init(text: String) {
    var rows: [Row] = []
    for line in text.split(separator: "\n") where line.hasPrefix("| ") {
      let cells = line.split(separator: "|").map { cell in
        var cell = cell
        while cell.first == " " { cell.removeFirst() }
        while cell.last == " " { cell.removeLast() }
        return String(cell)
      }
      guard cells.count == 4, cells[0] != "command" else { continue }
      rows.append(
        Row(command: cells[0], fault: cells[1], answer: Answer(cells[2]), source: cells[3]))
    }
    self.rows = rows
  }

  private static func path(_ file: String = #filePath) -> String {
    let root = file.split(separator: "/").dropLast(4).joined(separator: "/")
    return "/\(root)/docs/errors.md"
  }

  private static func read(_ path: String) -> String {
    let descriptor = open(path, O_RDONLY)
    guard descriptor >= 0 else { return "" }
    let file = OwnedDescriptor(adopting: descriptor)
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = part.withUnsafeMutableBytes {
        Glibc.read(file.rawValue, $0.baseAddress, $0.count)
      }
      guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
      bytes += part.prefix(count)
    }
  }
}
