// Memory that the client keeps to itself. Only the session's loop talks to the client: engines of
// other loops hand their messages over to it, and it never waits for them.

extension DMAEngine {
  typealias MessageOutcome = Result<[UInt8], DMAError>

  // MARK: Completion form

  /// Reads by messages; `completion` runs on this engine's loop.
  func sendRead(
    at address: DMAAddress, byteCount: Int, completion: @escaping (MessageOutcome) -> Void
  ) {
    guard let home else {
      guard let channel else {
        return completion(.failure(DMAError(.cancelled, address, byteCount)))
      }
      return DMATransfer.read(channel, address, byteCount, completion)
    }
    let answer = answerHere(completion)
    home.value.loop.post {
      home.value.sendRead(at: address, byteCount: byteCount, completion: answer)
    }
  }

  /// Writes by messages; as `sendRead`.
  func sendWrite(
    at address: DMAAddress, bytes: [UInt8], completion: @escaping (MessageOutcome) -> Void
  ) {
    guard let home else {
      guard let channel else {
        return completion(.failure(DMAError(.cancelled, address, bytes.count)))
      }
      return DMATransfer.write(channel, address, bytes, completion)
    }
    let answer = answerHere(completion)
    home.value.loop.post {
      home.value.sendWrite(at: address, bytes: bytes, completion: answer)
    }
  }

  /// Runs `completion` on this engine's loop, whoever calls the result.
  private func answerHere(
    _ completion: @escaping (MessageOutcome) -> Void
  ) -> @Sendable (MessageOutcome) -> Void {
    let confined = LoopConfined(completion)
    let loop = loop
    return { outcome in loop.post { confined.value(outcome) } }
  }

  // MARK: Blocking form

  /// Reads by messages and waits for the client.
  func blockingRead(_ address: DMAAddress, _ count: Int) throws(DMAError) -> [UInt8] {
    guard let home else {
      return try exchange(address, count) { channel, completion in
        DMATransfer.read(channel, address, count, completion)
      }
    }
    return try remoteAccess.perform(on: home, address, count) { engine, completion in
      engine.sendRead(at: address, byteCount: count, completion: completion)
    }
  }

  /// Writes by messages and waits for the client.
  func blockingWrite(_ address: DMAAddress, _ bytes: [UInt8]) throws(DMAError) {
    guard let home else {
      _ = try exchange(address, bytes.count) { channel, completion in
        DMATransfer.write(channel, address, bytes, completion)
      }
      return
    }
    _ = try remoteAccess.perform(on: home, address, bytes.count) { engine, completion in
      engine.sendWrite(at: address, bytes: bytes, completion: completion)
    }
  }

  private func exchange(
    _ address: DMAAddress, _ count: Int,
    _ start: (any DMAMessageChannel, @escaping (MessageOutcome) -> Void) -> Void
  ) throws(DMAError) -> [UInt8] {
    guard let channel else { throw DMAError(.cancelled, address, count) }
    var outcome: MessageOutcome?
    start(channel) { outcome = $0 }
    _ = channel.pump(until: { outcome != nil })
    // The end of the connection is an outcome as well.
    guard let outcome else { throw DMAError(.timedOut, address, count) }
    return try outcome.get()
  }
}
