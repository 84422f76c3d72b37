import CVFIOUserLinux

/// Two connected stream sockets: a connection without an address.
struct SocketPair: ~Copyable {
  let first: OwnedDescriptor
  let second: OwnedDescriptor

  init() throws(Errno) {
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
