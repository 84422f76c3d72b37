/// One DMA access in completion form: its pieces one after the other, by copy or by message.
///
/// It keeps itself alive through the completions that it waits for.
final class DMATransfer {
  private let engine: DMAEngine
  private let address: DMAAddress
  private let right: DMARights
  private let byteCount: Int
  private var bytes: [UInt8]
  private let completion: (Result<[UInt8], DMAError>) -> Void
  private var pieces: [DMAEngine.Piece] = []
  private var next = 0

  /// - Parameter bytes: what a write moves; empty for a read.
  init(
    engine: DMAEngine, address: DMAAddress, right: DMARights, byteCount: Int, bytes: [UInt8] = [],
    completion: @escaping (Result<[UInt8], DMAError>) -> Void
  ) {
    self.engine = engine
    self.address = address
    self.right = right
    self.byteCount = byteCount
    self.bytes = bytes
    self.completion = completion
  }

  func start() {
    do throws(DMAError) {
      pieces = try engine.pieces(address, byteCount, right)
    } catch {
      return completion(.failure(error))
    }
    if right == .read { bytes = [UInt8](repeating: 0, count: byteCount) }
    advance()
  }

  private func advance() {
    while next < pieces.count {
      let piece = pieces[next]
      next += 1
      guard piece.mapping.access != .messages else { return sendMessage(piece) }
      do throws(Errno) {
        if right == .read {
          try bytes.withMutableRawSpan { (span) throws(Errno) in
            try piece.mapping.copyOut(piece.offset, into: &span, piece.part)
          }
        } else {
          try piece.mapping.copyIn(piece.offset, from: bytes.rawSpan, piece.part)
        }
      } catch {
        return completion(.failure(DMAError(.lost, address, byteCount)))
      }
    }
    completion(.success(right == .read ? bytes : []))
  }

  private func sendMessage(_ piece: DMAEngine.Piece) {
    if right == .read {
      engine.sendRead(at: piece.address, byteCount: piece.part.count) { [self] result in
        switch result {
        case .failure(let error): completion(.failure(error))
        case .success(let data):
          bytes.replaceSubrange(piece.part, with: data)
          advance()
        }
      }
    } else {
      engine.sendWrite(at: piece.address, bytes: Array(bytes[piece.part])) { [self] result in
        switch result {
        case .failure(let error): completion(.failure(error))
        case .success: advance()
        }
      }
    }
  }

  // MARK: Several messages for one piece

  /// Reads by as many messages as the limit for one asks for, one after the other.
  static func read(
    _ channel: any DMAMessageChannel, _ address: DMAAddress, _ byteCount: Int,
    _ completion: @escaping (Result<[UInt8], DMAError>) -> Void
  ) {
    let limit = channel.maximumReadByteCount
    guard byteCount > limit else {
      guard byteCount > 0 else { return completion(.success([])) }
      return channel.sendRead(at: address, byteCount: byteCount, completion: completion)
    }
    LongRead(channel, address, byteCount, limit, completion).advance()
  }

  /// A read that takes several messages; the completion that it waits for keeps it.
  private final class LongRead {
    private let channel: any DMAMessageChannel
    private let address: DMAAddress
    private let byteCount: Int
    private let limit: Int
    private let completion: (Result<[UInt8], DMAError>) -> Void
    private var bytes: [UInt8] = []

    init(
      _ channel: any DMAMessageChannel, _ address: DMAAddress, _ byteCount: Int, _ limit: Int,
      _ completion: @escaping (Result<[UInt8], DMAError>) -> Void
    ) {
      self.channel = channel
      self.address = address
      self.byteCount = byteCount
      self.limit = limit
      self.completion = completion
      bytes.reserveCapacity(byteCount)
    }

    func advance() {
      let step = min(byteCount - bytes.count, limit)
      guard step > 0 else { return completion(.success(bytes)) }
      let place = DMAAddress(address.rawValue + UInt64(bytes.count))
      channel.sendRead(at: place, byteCount: step) { [self] result in
        switch result {
        case .failure(let error): completion(.failure(error))
        case .success(let data):
          bytes += data
          advance()
        }
      }
    }
  }

  /// Writes by as many messages as the transfer limit asks for, one after the other.
  static func write(
    _ channel: any DMAMessageChannel, _ address: DMAAddress, _ bytes: [UInt8],
    _ completion: @escaping (Result<[UInt8], DMAError>) -> Void
  ) {
    writeMore(channel, address, bytes, 0, completion)
  }

  private static func writeMore(
    _ channel: any DMAMessageChannel, _ address: DMAAddress, _ bytes: [UInt8], _ done: Int,
    _ completion: @escaping (Result<[UInt8], DMAError>) -> Void
  ) {
    let step = min(bytes.count - done, channel.maximumTransferByteCount)
    guard step > 0 else { return completion(.success([])) }
    let place = DMAAddress(address.rawValue + UInt64(done))
    let part = step == bytes.count ? bytes : Array(bytes[done..<(done + step)])
    channel.sendWrite(at: place, bytes: part) { result in
      switch result {
      case .failure(let error): completion(.failure(error))
      case .success: writeMore(channel, address, bytes, done + step, completion)
      }
    }
  }
}
