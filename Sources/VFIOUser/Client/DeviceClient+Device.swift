// The device as a whole: identity, reset, features, migration data.
extension DeviceClient {
  func queryDeviceInfo() throws(ClientError) -> DeviceInfo {
    try call(.deviceGetInfo, DeviceInfoRequest()) { payload, _ throws(WireError) in
      try DeviceInfo(decoding: payload)
    }
  }

  /// Resets the device.
  ///
  /// - Parameter timeout: the longest wait, since a reset may take longer than other commands; nil
  ///   for the client's usual one.
  /// - Throws: `rejected` when the device cannot be reset, else as every call.
  public func reset(timeout: Duration? = nil) throws(ClientError) {
    try call(
      .deviceReset, payloadByteCount: 0, timeout: timeout,
      encode: { _ throws(WireError) in }, decode: { _, _ throws(WireError) in })
  }

  /// Gets, sets or probes a feature; only the message is exchanged, nothing is interpreted.
  ///
  /// - Parameter maximumReplyByteCount: room for the reply's data, in bytes, for a `get`.
  /// - Returns: the reply. It answers for the same feature and methods.
  /// - Throws: `rejected` when the device has no such feature, `invalidArgument` when the reply
  ///   would be longer than a message may be, else as every call.
  public func deviceFeature(
    _ feature: DeviceFeature, maximumReplyByteCount: Int = 0
  ) throws(ClientError) -> DeviceFeature {
    var request = feature
    let needed = DeviceFeature.fixedByteCount + max(maximumReplyByteCount, feature.data.count)
    guard needed <= channel.maximumMessageByteCount - MessageHeader.byteCount else {
      throw ClientError(.invalidArgument, .invalidArgument, "the reply would be too long")
    }
    request.argumentSize = UInt32(needed)
    return try call(.deviceFeature, request) { payload, _ throws(WireError) in
      let reply = try DeviceFeature(decoding: payload)
      guard reply.index == request.index, reply.methods == request.methods,
        payload.byteCount <= needed
      else { throw WireError(.badFlags, "a reply is for another feature") }
      return reply
    }
  }

  /// Reads migration data; fewer bytes than asked for are the last ones.
  ///
  /// - Parameter byteCount: 1 to the transfer limit of the connection.
  /// - Throws: `invalidArgument` for another number, `rejected` when the server gives none, else as
  ///   every call.
  public func readMigrationData(byteCount: Int) throws(ClientError) -> [UInt8] {
    guard byteCount > 0, UInt64(byteCount) <= capabilities.effectiveTransferByteCount else {
      throw ClientError(.invalidArgument, .invalidArgument, "beyond the transfer limit")
    }
    let request = MigrationDataReadRequest(byteCount: UInt32(byteCount))
    return try call(.migrationDataRead, request) { payload, _ throws(WireError) in
      let data = try MigrationData(decoding: payload).data
      guard data.count <= byteCount else {
        throw WireError(.oversized, "more migration data than was asked for")
      }
      return data
    }
  }

  /// Writes migration data, at most the transfer limit of the connection.
  ///
  /// - Throws: `invalidArgument` for more than that, `rejected` when the server takes none, else as
  ///   every call.
  public func writeMigrationData(_ data: [UInt8]) throws(ClientError) {
    guard UInt64(data.count) <= capabilities.effectiveTransferByteCount else {
      throw ClientError(.invalidArgument, .invalidArgument, "beyond the transfer limit")
    }
    try call(.migrationDataWrite, MigrationData(data)) { _, _ throws(WireError) in }
  }
}
