import ArgumentParser
import DeviceProgram
import VFIOUser

/// `vfio-user probe PATH`: what any vfio-user server offers.
struct ProbeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "probe", abstract: "Show what a vfio-user server offers.",
    discussion: """
      Connects as a client would, asks, reads configuration space, and changes nothing. A server \
      that serves one client at a time refuses a probe while it has one.

      The paths are those that this package's own monitor would get. Mailboxes and posted messages are \
      extensions of its: with --no-extensions none is agreed on, and the paths are those of any other \
      monitor that asks for descriptors.
      """)

  @Argument(
    help: ArgumentHelp(
      "The server's socket, or a folder that holds one named cntrl.", valueName: "path"))
  var path: String

  @Flag(help: "Print one line of JSON.")
  var json = false

  @Flag(help: "Agree on no extension, as other monitors do: ioregionfds in place of mailboxes.")
  var noExtensions = false

  @Option(help: ArgumentHelp("Seconds to wait for each answer.", valueName: "seconds"))
  var timeout = 5

  func validate() throws {
    guard (1...3600).contains(timeout) else {
      throw ValidationError("--timeout takes 1 to 3600 seconds")
    }
  }

  func run() throws {
    let report: ProbeReport
    do throws(ClientError) {
      report = try ProbeReport(
        path: path, timeout: .seconds(timeout), offersExtensions: !noExtensions)
    } catch {
      throw ProgramError(.runtime, "probe: \(path): \(error)\(Self.advice(for: error))")
    }
    print(json ? report.json.text : report.text, terminator: json ? "\n" : "")
  }

  private static func advice(for error: ClientError) -> String {
    switch (error.code, error.errno) {
    case (.connectFailed, .noSuchFileOrDirectory): "; start the server, or check the path"
    case (.connectFailed, .connectionRefused): "; its server has ended: start it again"
    case (.connectFailed, .permissionDenied): "; run as a user who may write to the socket"
    case (.rejected, .resourceBusy): "; another client is connected: wait until it has gone"
    case (.timedOut, _): "; the server may be busy with another client, see --timeout"
    default: ""
    }
  }
}
