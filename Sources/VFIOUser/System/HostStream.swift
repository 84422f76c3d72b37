import CVFIOUserLinux

/// A byte stream of the host that never blocks: a pipe, a terminal, a file or a connected socket.
///
/// For backends, which are the only place of a device that knows descriptors.
///
/// Threads: confined to its loop.
package final class HostStream {
  private let descriptor: OwnedDescriptor
  private var buffer = [UInt8](repeating: 0, count: HostStream.chunkByteCount)

  /// The most that one read returns.
  package static let chunkByteCount = 4096

  /// Takes over a descriptor.
  package init(adopting descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// The descriptor, for a loop's watch.
  package var rawValue: CInt { descriptor.rawValue }

  /// Reads at most `byteCount` bytes; nil when there is nothing now, empty at the end.
  package func read(atMost byteCount: Int) throws(Errno) -> [UInt8]? {
    let wanted = min(byteCount, Self.chunkByteCount)
    do {
      // Safety: the kernel writes at most `wanted` bytes into a buffer at least that large.
      let count = try Errno.checkShim(
        unsafe buffer.withUnsafeMutableBytes { (bytes) -> Int in
          unsafe cvfu_stream_read(descriptor.rawValue, bytes.baseAddress, wanted)
        })
      return Array(buffer[..<count])
    } catch {
      guard error == .wouldBlock else { throw error }
      return nil
    }
  }

  /// Writes the first bytes of `bytes`, as many as there is room for.
  ///
  /// - Returns: how many; 0 when there is no room now.
  package func write(_ bytes: [UInt8]) throws(Errno) -> Int {
    do {
      // Safety: the kernel reads the array's bytes during the call.
      return try Errno.checkShim(
        unsafe bytes.withUnsafeBytes { (bytes) -> Int in
          unsafe cvfu_stream_write(descriptor.rawValue, bytes.baseAddress, bytes.count)
        })
    } catch {
      guard error == .wouldBlock else { throw error }
      return 0
    }
  }

  /// Whether the other side has gone: of a pseudo-terminal, that nobody has it open.
  package var isHungUp: Bool {
    let events = cvfu_poll_now(descriptor.rawValue, 0)
    return events > 0 && events & CInt(POLLHUP | POLLERR) != 0
  }

  // MARK: - Making one

  /// Standard input, non-blocking where it is a pipe or a terminal.
  package static func standardInput() throws(Errno) -> HostStream {
    try HostStream(adopting: OwnedDescriptor(adopting: Errno.checkShim(cvfu_reopen(0, false))))
  }

  /// Standard output, non-blocking where it is a pipe or a terminal.
  package static func standardOutput() throws(Errno) -> HostStream {
    try HostStream(adopting: OwnedDescriptor(adopting: Errno.checkShim(cvfu_reopen(1, true))))
  }

  /// A file to append to, made where there is none; a FIFO or a device works as well.
  ///
  /// - Throws: `ENXIO` for a FIFO that nobody reads, and what open(2) answers.
  package static func appending(to path: String) throws(Errno) -> HostStream {
    // Safety: the path is a string that ends with a zero for the time of the call.
    let raw = unsafe path.withCString { (path) -> CInt in unsafe cvfu_open_output(path) }
    return HostStream(adopting: OwnedDescriptor(adopting: try Errno.checkShim(raw)))
  }

  /// The near side of a new pseudo-terminal in raw mode, and the path of its far side.
  package static func pseudoTerminal() throws(Errno) -> (stream: HostStream, path: String) {
    var path = [UInt8](repeating: 0, count: 128)
    // Safety: the call writes a terminated string of at most the buffer's size.
    let raw = unsafe path.withUnsafeMutableBytes { (bytes) -> CInt in
      unsafe cvfu_open_pty(bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
    }
    let stream = HostStream(adopting: OwnedDescriptor(adopting: try Errno.checkShim(raw)))
    let end = path.firstIndex(of: 0) ?? path.count
    return (stream, String(decoding: path[..<end], as: UTF8.self))
  }

  // MARK: - Terminals

  /// Puts standard input into raw mode where it is a terminal, until it is restored or the process ends.
  ///
  /// - Returns: whether it is a terminal.
  package static func makeTerminalRaw() throws(Errno) -> Bool {
    try Errno.checkShim(cvfu_terminal_make_raw(0)) == 1
  }

  /// Gives the terminal its settings back.
  package static func restoreTerminal() { cvfu_terminal_restore() }

  /// Asks this process to end, as the terminal's interrupt key does outside raw mode.
  package static func interruptProcess() { kill(getpid(), SIGTERM) }
}
