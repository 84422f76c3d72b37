import DeviceModel
import IORegionRing
import Logging
import VFIOUser

/// Serves one device in this process, in the foreground, until a signal or its only client ends it.
///
/// Once clients can connect it logs one line at level notice: `listening on PATH`.
public struct DeviceRunner {
  private let kind: any PCIDevice.Type
  private let options: ServeOptions
  private var name: String { kind.declaration.name }

  /// Prepares to serve a device of `kind`.
  public init(_ kind: any PCIDevice.Type, _ options: ServeOptions) {
    self.kind = kind
    self.options = options
  }

  /// Serves the device, and returns once it is at rest and its socket file is removed.
  ///
  /// - Throws: ``ProgramError`` when a knob, the back end or the socket cannot be used.
  public func run() throws(ProgramError) {
    // Before anything starts a thread or opens a terminal.
    let signals = try system("cannot watch for signals") { () throws(Errno) in
      try TerminationSignals()
    }
    try system("cannot guard shared memory") { () throws(Errno) in try BusErrorGuard.install() }
    let logger = LineLogHandler.logger(label: name, level: options.logLevel)
    let loop = try system("cannot make an event loop") { () throws(Errno) in
      try EventLoop(polling: options.poll)
    }
    let server = try makeServer(loop, logger)
    try open(server, logger)
    server.onExhausted = { [unowned server] in
      logger.notice("the client has gone, and there is no socket for others: ending")
      server.stop { loop.stop() }
    }
    let watch = try system("cannot watch for signals") { () throws(Errno) in
      try watchSignals(signals.rawValue, server, loop, logger)
    }
    try system("the event loop failed") { () throws(Errno) in try loop.run() }
    loop.unwatch(watch)
    _ = consume signals
  }

  private func makeServer(
    _ loop: EventLoop, _ logger: Logger
  ) throws(ProgramError) -> DeviceServer {
    let declaration = kind.declaration
    do {
      var knobs = try KnobValues(device: name, declaring: declaration.knobs)
      for setting in options.settings { try knobs.set(setting) }
      let function = try PCIFunction(
        kind, knobs: knobs,
        backend: try BackendOption.open(options, for: declaration, on: loop, logger),
        loop: loop, logger: logger)
      var deviceOptions = DeviceOptions()
      deviceOptions.onDisconnect = options.onDisconnect
      if options.ioEngine == .ring { deviceOptions.ioRegionEngine = IORegionRing() }
      let host = DeviceHost(device: function, loop: loop, options: deviceOptions, logger: logger)
      return DeviceServer(host: host, logger: logger)
    } catch let error as ProgramError {
      throw error
    } catch let error as KnobError {
      throw ProgramError(.usage, error.description)
    } catch {
      throw ProgramError(.runtime, "\(name): \(error)")
    }
  }

  private func open(_ server: DeviceServer, _ logger: Logger) throws(ProgramError) {
    do throws(ServerError) {
      if let path = options.socketPath {
        try server.listen(path: path)
        logger.notice("listening on \(path)")
      } else if let number = options.descriptor {
        try server.adopt(OwnedDescriptor(adopting: number))
        logger.notice("serving descriptor \(number)")
      }
    } catch {
      let advice =
        switch error.errno {
        case .noSuchFileOrDirectory: "; make its folder first"
        case .permissionDenied: "; choose a folder that this user may write"
        case .fileNameTooLong: "; a socket's path has at most 107 bytes"
        default: ""
        }
      throw ProgramError(.runtime, "\(name): \(error)\(advice)")
    }
  }

  private func watchSignals(
    _ descriptor: CInt, _ server: DeviceServer, _ loop: EventLoop, _ logger: Logger
  ) throws(Errno) -> WatchToken {
    try loop.watch(descriptor, .readable) { [unowned server] _ in
      guard let signal = TerminationSignals.consume(descriptor) else { return }
      logger.notice("signal \(signal): ending")
      // A device that does not come to rest can still be stopped by a second signal.
      TerminationSignals.restore()
      server.stop { loop.stop() }
    }
  }

  private func system<Result: ~Copyable>(
    _ what: String, _ body: () throws(Errno) -> Result
  ) throws(ProgramError) -> Result {
    do throws(Errno) { return try body() } catch {
      throw ProgramError(.runtime, "\(name): \(what): \(error)")
    }
  }
}
