import CVFIOUserLinux

/// Two connected stream sockets: a connection without an address.
package struct SocketPair: ~Copyable {
  /// One end.
  package let first: OwnedDescriptor
  /// The other end.
  package let second: OwnedDescriptor

  /// Makes a pair.
  ///
  /// - Throws: `EMFILE` or `ENFILE` when no descriptor is left.
  package init() throws(Errno) {
    var ends: [CInt] = [-1, -1]
    // Safety: the kernel writes two entries into an array of two.
    let result = unsafe ends.withUnsafeMutableBufferPointer { list in
      unsafe cvfu_socket_pair(list.baseAddress)
    }
    _ = try Errno.checkShim(result)
    first = OwnedDescriptor(adopting: ends[0])
    second = OwnedDescriptor(adopting: ends[1])
  }
}
