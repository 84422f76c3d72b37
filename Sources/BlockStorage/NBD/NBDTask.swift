/// A request on its way to an NBD server, and which command it gives.
final class NBDTask: StorageTask {
  /// The command that is given, or comes next.
  enum Stage {
    /// Bytes between the server and memory.
    case transfer
    /// The server zeroes a range.
    case zero
    /// Zeros are sent, to a server that cannot do so by itself.
    case writtenZeros
    /// What was written reaches the medium.
    case flush
  }

  var stage = Stage.transfer
  /// How many bytes the command in flight covers.
  var stepByteCount = 0
}
