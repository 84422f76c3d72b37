/// What reaches memory that the client keeps to itself: DMA_READ and DMA_WRITE messages.
protocol DMAMessageChannel: AnyObject {
  /// The most bytes that one message may move.
  var maximumTransferByteCount: Int { get }
  /// The most bytes that one message may ask for.
  var maximumReadByteCount: Int { get }

  /// Sends DMA_READ. The completion runs on the session's loop, from within its processing.
  func sendRead(
    at address: DMAAddress, byteCount: Int,
    completion: @escaping (Result<[UInt8], DMAError>) -> Void)

  /// Sends DMA_WRITE; as `sendRead`.
  func sendWrite(
    at address: DMAAddress, bytes: [UInt8],
    completion: @escaping (Result<[UInt8], DMAError>) -> Void)

  /// Exchanges messages until `isDone` says so: replies are consumed, commands wait their turn.
  ///
  /// - Returns: false when the time is over or the connection ended.
  func pump(until isDone: () -> Bool) -> Bool
}

extension DMAMessageChannel {
  var maximumReadByteCount: Int { maximumTransferByteCount }
}
