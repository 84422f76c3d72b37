import DeviceProgram
import Glibc
import VFIOUser

/// One of the package's programs in a process of its own, its output collected.
final class Program {
  /// What a program left behind.
  struct Outcome {
    var ending: ChildProcess.Ending?
    var output: String
    var errors: String

    /// The lines on standard error.
    var errorLines: [Substring] { errors.split(separator: "\n") }
  }

  let process: ChildProcess
  let folder: TemporaryFolder

  /// Starts a program that was built with the tests; it reads nothing, unless `descriptors` says so.
  init(
    _ name: String = "vfio-user", _ arguments: [String], in folder: TemporaryFolder = .init(),
    descriptors: [CInt: CInt] = [:]
  ) throws {
    self.folder = folder
    let output = open(folder / "output", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    let errors = open(folder / "errors", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    let null = open("/dev/null", O_RDONLY | O_CLOEXEC)
    defer { for descriptor in [output, errors, null] { close(descriptor) } }
    var all = descriptors
    all[0] = descriptors[0] ?? null
    all[1] = output
    all[2] = errors
    process = try ChildProcess(Self.folderOfPrograms + "/" + name, arguments, descriptors: all)
  }

  /// Runs a program to its end, at most two minutes; it reads `input`.
  static func run(
    _ name: String = "vfio-user", _ arguments: [String], input: String? = nil
  ) throws -> Outcome {
    let folder = TemporaryFolder()
    var descriptors: [CInt: CInt] = [:]
    if let input {
      let file = open(folder / "input", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
      _ = Array(input.utf8).withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
      lseek(file, 0, SEEK_SET)
      descriptors[0] = file
    }
    defer { for descriptor in descriptors.values { close(descriptor) } }
    let program = try Program(name, arguments, in: folder, descriptors: descriptors)
    program.process.wait(timeout: .seconds(120))
    return program.outcome
  }

  /// What it has written so far, and how it ended.
  var outcome: Outcome {
    Outcome(
      ending: process.ending, output: contents(folder / "output") ?? "",
      errors: contents(folder / "errors") ?? "")
  }

  /// Waits until `condition` holds, at most a minute and no longer than the program runs.
  func waits(until condition: (Outcome) -> Bool) -> Bool {
    for _ in 0..<12_000 {
      if condition(outcome) { return true }
      if process.wait(timeout: .milliseconds(5)) != nil { return condition(outcome) }
    }
    return false
  }

  /// Waits until standard output holds `text`.
  func prints(_ text: String) -> Bool { waits { $0.output.contains(text) } }

  /// Waits until standard error holds `text`.
  func waits(for text: String) -> Bool { waits { $0.errors.contains(text) } }

  /// Ends it with SIGTERM and waits.
  @discardableResult
  func end(_ signal: CInt = SIGTERM) -> ChildProcess.Ending? {
    process.send(signal)
    return process.wait(timeout: .seconds(60))
  }

  /// Where the programs are: beside the program that runs the tests.
  static let folderOfPrograms: String = {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count)
    let path = String(
      decoding: buffer[..<max(0, count)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
  }()
}
