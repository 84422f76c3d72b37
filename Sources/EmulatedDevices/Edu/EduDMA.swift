import DeviceModel

/// The DMA engine of `edu` and its buffer of 4096 bytes.
final class EduDMA {
  /// Where the buffer lies in the engine's own view.
  static let bufferOffset: UInt64 = 0x40000
  /// The size of the buffer in bytes.
  static let bufferByteCount = 4096

  /// What a command asks for.
  struct Command: OptionSet {
    let rawValue: UInt64
    static let run = Command(rawValue: 1)
    static let toGuest = Command(rawValue: 2)
    static let interrupt = Command(rawValue: 4)
  }

  /// The content of the buffer.
  private(set) var buffer = [UInt8](repeating: 0, count: bufferByteCount)
  private unowned let function: PCIFunction
  private let addressMask: UInt64
  /// Counts resets, so that a transfer that was running does not end in a device that no longer
  /// knows it.
  private var generation = 0

  init(_ function: PCIFunction, addressMask: UInt64) {
    self.function = function
    self.addressMask = addressMask
  }

  /// Empties the buffer and forgets a transfer in progress.
  func reset() {
    generation += 1
    buffer = [UInt8](repeating: 0, count: Self.bufferByteCount)
  }

  /// Moves `byteCount` bytes and calls `done` when that has succeeded or failed.
  ///
  /// Never waits: the answer of the client's memory arrives later, by way of the loop.
  func transfer(
    source: UInt64, destination: UInt64, byteCount: UInt64, _ command: Command,
    done: @escaping () -> Void
  ) {
    let isToGuest = command.contains(.toGuest)
    guard let range = bufferRange(at: isToGuest ? source : destination, byteCount) else {
      function.logger.notice("edu: DMA outside the buffer refused")
      return done()
    }
    guard !range.isEmpty else { return done() }
    let address = clamp(isToGuest ? destination : source)
    let generation = generation
    if isToGuest {
      function.dma.write(at: address, bytes: Array(buffer[range])) { [weak self] result in
        guard let self, self.generation == generation else { return }
        if case .failure(let error) = result { self.report(error) }
        done()
      }
    } else {
      function.dma.read(at: address, byteCount: range.count) { [weak self] result in
        guard let self, self.generation == generation else { return }
        switch result {
        case .success(let bytes): self.buffer.replaceSubrange(range, with: bytes)
        case .failure(let error): self.report(error)
        }
        done()
      }
    }
  }

  /// The part of the buffer that a transfer covers, or nil when it leaves the buffer.
  private func bufferRange(at start: UInt64, _ byteCount: UInt64) -> Range<Int>? {
    guard start >= Self.bufferOffset else { return nil }
    let offset = start - Self.bufferOffset
    let size = UInt64(Self.bufferByteCount)
    guard offset <= size, byteCount <= size - offset else { return nil }
    return Int(offset)..<Int(offset + byteCount)
  }

  private func clamp(_ address: UInt64) -> DMAAddress {
    if address & ~addressMask != 0 {
      function.logger.notice("edu: DMA address cut to the mask of the device")
    }
    return DMAAddress(address & addressMask)
  }

  private func report(_ error: DMAError) {
    function.logger.notice("edu: DMA failed", metadata: ["error": "\(error)"])
  }
}
