import ArgumentParser
import BlockStorage
import Logging
import VFIOUser

/// The command line that every device program has.
///
/// `--socket-path PATH | --fd N [--set KNOB=VALUE]... [--backend SPEC] [--namespace SPEC]...
/// [--poll never|adaptive|always] [--io-engine epoll|io_uring] [--on-disconnect keep|reset]
/// [--log-level L]`
public struct ServeOptions: ParsableArguments {
  /// Where to listen.
  @Option(
    name: .customLong("socket-path"),
    help: ArgumentHelp(
      "Listen on this UNIX socket. A stale socket is replaced; it is removed at the end.",
      valueName: "path"))
  public var socketPath: String?

  /// An inherited socket.
  @Option(
    name: .customLong("fd"),
    help: ArgumentHelp(
      "Serve this inherited socket: a listening one, or a connected one until it closes.",
      valueName: "n"))
  public var descriptor: Int32?

  /// Settings of knobs, as `NAME=VALUE`.
  @Option(
    name: .customLong("set"),
    help: ArgumentHelp("Set a knob of the device. May be repeated.", valueName: "knob=value"))
  public var settings: [String] = []

  /// What the device is connected to on the host.
  @Option(
    help: ArgumentHelp(
      "Connect the device to the host: stdio, pty, file:PATH or unix:PATH.", valueName: "spec"))
  public var backend: String?

  /// The storages of a device that has some, in order.
  @Option(
    name: .customLong("namespace"),
    help: ArgumentHelp(
      "Give the device a storage: \(StorageSpecification.forms). May be repeated.",
      valueName: "spec"))
  public var namespaces: [String] = []

  /// How the loop waits.
  @Option(
    help: ArgumentHelp(
      "Whether to look for messages before sleeping: never, shortly after the last one, or always.",
      valueName: "mode"))
  public var poll: PollingMode = .adaptive

  /// What serves the descriptors that registers are reached over.
  public enum IOEngine: String, CaseIterable, Sendable, ExpressibleByArgument {
    /// epoll.
    case epoll
    /// io_uring, where the kernel has it, else epoll.
    case ring = "io_uring"
  }

  /// What serves the descriptors that registers are reached over.
  @Option(
    name: .customLong("io-engine"),
    help: ArgumentHelp(
      "Serve the descriptors that registers are reached over with epoll or io_uring.",
      valueName: "engine"))
  public var ioEngine: IOEngine = .epoll

  /// What happens to the device's state when the client goes away.
  @Option(
    name: .customLong("on-disconnect"),
    help: ArgumentHelp(
      "Keep the device's state for the next client, or reset it.", valueName: "policy"))
  public var onDisconnect: DeviceOptions.DisconnectPolicy = .keep

  /// The lowest level that is logged.
  @Option(
    name: .customLong("log-level"),
    help: ArgumentHelp("Log to standard error from this level on.", valueName: "level"))
  public var logLevel: Logger.Level = .notice

  /// Options at their defaults.
  public init() {}

  /// Refuses a command line that names no socket, or two.
  ///
  /// - Throws: a `ValidationError` of ArgumentParser, whose text says what to give.
  public func validate() throws {
    switch (socketPath, descriptor) {
    case (nil, nil):
      throw ValidationError("say where to serve: --socket-path PATH or --fd N")
    case (_?, _?):
      throw ValidationError("give either --socket-path or --fd, not both")
    case ("", _):
      throw ValidationError("--socket-path needs a path")
    case (_, let number?) where number < 0:
      throw ValidationError("--fd takes the number of an open descriptor, not \(number)")
    default:
      break
    }
  }
}

extension PollingMode: ExpressibleByArgument {}
extension Logger.Level: @retroactive ExpressibleByArgument {}
extension DeviceOptions.DisconnectPolicy: ExpressibleByArgument {}
