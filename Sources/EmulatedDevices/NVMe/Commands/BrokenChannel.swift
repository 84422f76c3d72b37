import BlockStorage
import DeviceModel

/// Stands for a storage that this loop cannot reach: every request fails.
final class BrokenChannel: BlockChannel {
  private let error: Errno

  init(_ error: Errno) { self.error = error }

  func submit(_ request: BlockRequest) -> BlockOutcome {
    .failed(error == .invalidArgument ? .ioError : error)
  }
  func kick() {}
  func poll() -> Bool { false }
  func close() {}
}
