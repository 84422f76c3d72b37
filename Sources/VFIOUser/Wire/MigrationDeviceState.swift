/// A state of the migration protocol.
///
/// Source: vfio-user specification, `VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE`.
public enum MigrationDeviceState: UInt32, Sendable, CaseIterable {
  /// The device has failed and must be reset.
  case error = 0
  /// The device changes neither its own nor any other state.
  case stop = 1
  /// The device runs.
  case running = 2
  /// The device is stopped and its state can be read.
  case stopCopy = 3
  /// The device is stopped and takes a new state.
  case resuming = 4
  /// The device runs without starting DMA to peers; not used in vfio-user.
  case runningPeerToPeer = 5
  /// The device runs and its state can be read.
  case preCopy = 6
  /// Both of the above; not used in vfio-user.
  case preCopyPeerToPeer = 7

  /// The length of the data in bytes: the state and an unused descriptor number.
  public static let dataByteCount = 8

  /// Decodes the data of a request or reply; throws when it is not 8 bytes or the state is unknown.
  public init(decoding data: RawSpan) throws(WireError) {
    guard data.byteCount == Self.dataByteCount else {
      throw WireError(.badCount, "a migration state takes 8 bytes")
    }
    guard let state = MigrationDeviceState(rawValue: try data.load(at: 0)) else {
      throw WireError(.badCount, "there is no such migration state")
    }
    self = state
  }

  /// The data of a request or reply; the descriptor number is -1.
  public func encodedData() -> [UInt8] {
    var data = [UInt8](repeating: 0xff, count: Self.dataByteCount)
    data.withMutableRawSpan { bytes in try? bytes.store(rawValue, at: 0) }
    return data
  }
}
