import VFIOUser

/// A storage as one writes it on a command line.
///
/// | form | what it is |
/// |---|---|
/// | `memory:SIZE` | memory of this process, ``MemoryStorage`` |
/// | `file:PATH[,direct=on][,readonly=on][,engine=auto\|io_uring\|threads]` | a file or block device, ``FileStorage`` |
/// | `null:SIZE` | nothing, ``NullStorage`` |
/// | `nbd:URI` | an export of an NBD server, ``NBDStorage`` |
///
/// SIZE is a number of bytes, with K, M, G or T for units of 1024. A comma in PATH is written twice.
/// A URI is one that libnbd takes, such as `nbd://host/export` or
/// `nbd+unix:///export?socket=/run/nbd.sock`; the `nbd:` before it may be left out.
public enum StorageSpecification: Sendable, Hashable {
  /// Memory of this process.
  case memory(byteCount: UInt64)
  /// A regular file or a block device.
  case file(path: String, FileStorageOptions)
  /// Nothing: requests are done at once.
  case null(byteCount: UInt64)
  /// An export of an NBD server.
  case nbd(uri: String)

  /// The forms that are understood, for messages and the manual.
  public static let forms =
    "memory:SIZE, file:PATH[,direct=on][,readonly=on], null:SIZE or nbd:URI"

  /// The unit that sizes are multiples of, in bytes: the smallest logical block of a disk.
  static let sizeUnit: UInt64 = 512

  /// Understands a specification.
  ///
  /// - Throws: ``StorageError`` with the code `malformed`.
  public init(_ text: String) throws(StorageError) {
    guard let colon = text.firstIndex(of: ":") else {
      throw StorageError(.malformed, "there is no storage \"\(text)\"; write \(Self.forms)")
    }
    let kind = String(text[..<colon])
    let rest = text[text.index(after: colon)...]
    switch kind {
    case "memory": self = .memory(byteCount: try Self.size(rest, of: text))
    case "null": self = .null(byteCount: try Self.size(rest, of: text))
    case "file": self = try Self.file(rest, of: text)
    case "nbd" where rest.isEmpty:
      throw StorageError(
        .malformed, "storage \"\(text)\" needs a URI: write nbd:nbd://HOST/EXPORT")
    case "nbd": self = .nbd(uri: rest.hasPrefix("//") ? text : String(rest))
    case "nbds", "nbd+unix", "nbds+unix", "nbd+vsock", "nbds+vsock": self = .nbd(uri: text)
    default:
      throw StorageError(.malformed, "there is no storage \"\(text)\"; write \(Self.forms)")
    }
  }

  private static func size(
    _ text: Substring, of specification: String
  ) throws(StorageError) -> UInt64 {
    guard let byteCount = StorageSize.parse(text) else {
      throw StorageError(
        .malformed,
        "storage \"\(specification)\" needs a size: a number of bytes, with K, M, G or T,"
          + " such as 1G")
    }
    guard byteCount > 0, byteCount % sizeUnit == 0 else {
      throw StorageError(
        .malformed,
        "storage \"\(specification)\": the size is a multiple of \(sizeUnit) bytes, and not 0")
    }
    return byteCount
  }

  private static func file(
    _ text: Substring, of specification: String
  ) throws(StorageError) -> Self {
    var words = fields(of: text)
    let path = words.removeFirst()
    guard !path.isEmpty else {
      throw StorageError(.malformed, "storage \"\(specification)\" needs a path: write file:PATH")
    }
    var options = FileStorageOptions()
    for word in words {
      let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let value = parts.count == 2 ? String(parts[1]) : ""
      switch (parts[0], value) {
      case ("direct", "on"): options.isDirect = true
      case ("direct", "off"): options.isDirect = false
      case ("readonly", "on"): options.isReadOnly = true
      case ("readonly", "off"): options.isReadOnly = false
      case ("direct", _), ("readonly", _):
        throw StorageError(
          .malformed, "storage \"\(specification)\": write \(parts[0])=on or \(parts[0])=off")
      case ("engine", _):
        guard let engine = FileStorageOptions.Engine(rawValue: value) else {
          throw StorageError(
            .malformed,
            "storage \"\(specification)\": write engine=auto, engine=io_uring or engine=threads")
        }
        options.engine = engine
      default:
        throw StorageError(
          .malformed,
          "storage \"\(specification)\": a file takes direct, readonly and engine, not \"\(word)\";"
            + " a comma in a path is written twice")
      }
    }
    return .file(path: path, options)
  }

  /// The parts of `text` between single commas; two in a row stand for one that is meant.
  private static func fields(of text: Substring) -> [String] {
    var fields = [""]
    var rest = text
    while let next = rest.popFirst() {
      if next != "," {
        fields[fields.count - 1].append(next)
      } else if rest.first == "," {
        fields[fields.count - 1].append(rest.removeFirst())
      } else {
        fields.append("")
      }
    }
    return fields
  }

  /// Opens the storage.
  ///
  /// - Throws: ``StorageError`` with the code `unavailable`.
  public func open() throws(StorageError) -> any BlockStorage {
    switch self {
    case .memory(let byteCount):
      do throws(Errno) { return try MemoryStorage(byteCount: byteCount) } catch {
        throw StorageError(
          .unavailable, "storage \(description): this process cannot have that much memory", error)
      }
    case .null(let byteCount): return NullStorage(byteCount: byteCount)
    case .file(let path, let options): return try FileStorage(path: path, options)
    case .nbd(let uri): return try NBDStorage(uri: uri)
    }
  }
}

extension StorageSpecification: CustomStringConvertible {
  /// The specification as one writes it.
  public var description: String {
    switch self {
    case .memory(let byteCount): return "memory:\(StorageSize.text(byteCount))"
    case .null(let byteCount): return "null:\(StorageSize.text(byteCount))"
    case .nbd(let uri): return "nbd:\(uri)"
    case .file(let path, let options):
      var text = "file:"
      for letter in path { text += letter == "," ? ",," : String(letter) }
      if options.isDirect { text += ",direct=on" }
      if options.isReadOnly { text += ",readonly=on" }
      if options.engine != .automatic { text += ",engine=\(options.engine.rawValue)" }
      return text
    }
  }
}
