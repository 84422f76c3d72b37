import ArgumentParser
import CVFIOUserLinux
import Glibc

/// Runs a command as a whole program: parse, run, exit.
///
/// Every error is one line on standard error. Exit codes: 0 done, 1 failed, 64 wrong usage.
public enum ProgramEntry {
  /// Parses `arguments`, runs the command that they name, and ends the process.
  ///
  /// - Parameters:
  ///   - command: the root command.
  ///   - arguments: what follows the program's name; the process's own arguments by default.
  public static func run(
    _ command: (some ParsableCommand).Type, _ arguments: [String]? = nil
  ) -> Never {
    // A peer that hangs up is an error of one write, not the end of the process.
    _ = signal(SIGPIPE, SIG_IGN)
    do {
      var parsed = try command.parseAsRoot(arguments)
      try parsed.run()
    } catch {
      exit(report(error, from: command))
    }
    exit(0)
  }

  /// Prints what an error has to say and returns the exit code.
  static func report<Command: ParsableCommand>(
    _ error: any Error, from command: Command.Type
  ) -> Int32 {
    let name = command.configuration.commandName ?? "program"
    if let error = error as? ProgramError {
      printError("\(name): \(error)")
      return error.code.rawValue
    }
    let code = command.exitCode(for: error)
    let whole = command.fullMessage(for: error)
    if code.isSuccess {
      // The help or the version, which were asked for.
      print(whole)
      return 0
    }
    guard code == .validationFailure else {
      printError("\(name): \(command.message(for: error).oneLine)")
      return 1
    }
    let hint = whole.split(separator: "\n").last { $0.contains("--help") }
    let command = hint?.split(separator: "'").first { $0.contains("--help") } ?? "\(name) --help"
    let message = self.message(of: error, from: Command.self)
    printError("\(name): \(message); see '\(command)'")
    return code.rawValue
  }

  private static func message<Command: ParsableCommand>(
    of error: any Error, from command: Command.Type
  ) -> String {
    var message = Command.message(for: error).oneLine
    while message.last == "." { message.removeLast() }
    return message
  }

  /// Writes a line to standard error at once.
  static func printError(_ line: String) {
    var bytes = Array(line.utf8)
    bytes.append(0x0a)
    // Safety: writes an array's own bytes. One call, so that lines of several processes do not mix.
    _ = unsafe write(STDERR_FILENO, bytes, bytes.count)
  }
}
