import CVFIOUserLinux

@testable import VFIOUser

/// A descriptor to send to a peer, which tells whether each copy of it was closed.
///
/// It is the reading end of a pipe: the writing end fails once nobody can read any more. So it sees
/// exactly its own copies, whatever other tests open at the same time.
final class DescriptorWitness {
  private let writer: OwnedDescriptor
  private var reader: OwnedDescriptor?
  let rawValue: CInt

  init() throws {
    var ends: [CInt] = [-1, -1]
    // Safety: the kernel writes two entries into an array of two.
    _ = try Errno.check(
      ends.withUnsafeMutableBufferPointer { unsafe pipe($0.baseAddress) })
    rawValue = ends[0]
    reader = OwnedDescriptor(adopting: ends[0])
    writer = OwnedDescriptor(adopting: ends[1])
  }

  /// Closes the own copy, and waits for others to be closed; false when one stays open for long.
  func isOnlyHolder() -> Bool {
    reader = nil
    var state = pollfd(fd: writer.rawValue, events: 0, revents: 0)
    // Safety: one element, for the time of the call.
    return unsafe poll(&state, 1, 60_000) == 1
  }
}
