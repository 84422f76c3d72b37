import NVMeDriver
import Testing
import VFIOUser

/// How the device of a model-based test is served and driven.
struct ModelConfiguration: Sendable, CustomTestStringConvertible {
  enum Storage: Sendable {
    case memory
    case file(engine: String)

    /// A storage of that size; files are made at `path`.
    func specification(_ byteCount: Int, path: String) -> String {
      switch self {
      case .memory: "memory:\(byteCount)"
      case .file(let engine): "file:\(path),engine=\(engine)"
      }
    }
  }

  var name: String
  var storages: [Storage]
  var threads = 0
  var polling = PollingMode.never
  /// Whether the device may map the driver's memory.
  var sharesMemory = true
  /// How drivers ring doorbells, one after the other.
  var doorbells: [NVMeDoorbells] = [.trapped, .shadow]

  var testDescription: String { name }

  /// The sizes of the namespaces: the second ends within a block of 4096 bytes.
  static let byteCounts = [1 << 20, (1 << 19) + 1536]

  static let all = [
    ModelConfiguration(
      name: "memory", storages: [.memory, .memory],
      doorbells: [.trapped, .shadow, .ioregionfd, .ioeventfd]),
    ModelConfiguration(
      name: "memory, 2 threads", storages: [.memory, .memory], threads: 2, polling: .adaptive,
      doorbells: [.trapped, .shadow, .ioregionfd, .ioeventfd]),
    ModelConfiguration(
      name: "files", storages: [.file(engine: "auto"), .file(engine: "threads")]),
    ModelConfiguration(
      name: "files, 2 threads", storages: [.file(engine: "threads"), .file(engine: "auto")],
      threads: 2, polling: .adaptive),
    ModelConfiguration(
      name: "memory by messages", storages: [.memory, .file(engine: "auto")], threads: 1,
      sharesMemory: false),
    ModelConfiguration(
      name: "mapped doorbells", storages: [.memory, .file(engine: "auto")], polling: .always,
      doorbells: [.mapped, .shadow, .trapped]),
    ModelConfiguration(
      name: "mapped doorbells, 2 threads", storages: [.memory, .file(engine: "auto")], threads: 2,
      polling: .always, doorbells: [.mapped, .shadow, .trapped]),
  ]
}
