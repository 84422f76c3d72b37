/// A Unix socket at a path that waits for peers of a backend; the path goes away with it.
///
/// Threads: confined to its loop.
package final class HostListener {
  private let socket: ListeningSocket

  /// Listens at `path`. A socket file that nobody listens at any more is replaced.
  ///
  /// - Throws: a ``ServerError`` that says what to do, when somebody listens there, when the path is
  ///   no socket, or when it cannot be made.
  package init(path: String) throws(ServerError) { socket = try ListeningSocket(path: path) }

  /// The descriptor, for a loop's watch.
  package var rawValue: CInt { socket.rawValue }

  /// The next peer; nil when none waits.
  package func accept() -> HostStream? {
    do throws(Errno) {
      guard let peer = try socket.accept() else { return nil }
      return HostStream(adopting: peer)
    } catch {
      // Out of descriptors: the peer stays in the queue until the next look.
      return nil
    }
  }
}
