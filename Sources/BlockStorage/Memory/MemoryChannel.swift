import VFIOUser

/// Copies between a memory storage and the memory of requests; every request is done at once.
final class MemoryChannel: BlockChannel {
  private let storage: MemoryStorage
  private let byteCount: UInt64

  init(_ storage: MemoryStorage) {
    self.storage = storage
    byteCount = storage.byteCount
  }

  func submit(_ request: BlockRequest) -> BlockOutcome {
    let count = request.byteCount
    guard count >= 0, request.byteOffset <= byteCount,
      UInt64(count) <= byteCount - request.byteOffset
    else { return .failed(.invalidArgument) }
    let offset = Int(request.byteOffset)
    switch request.operation {
    case .read:
      // Safety: the range was checked, and the storage is kept by this channel. What another loop
      // writes meanwhile can only change the bytes that are copied.
      let bytes = unsafe RawSpan(_unsafeStart: storage.start + offset, byteCount: count)
      do throws(DMAError) { try request.data.write(at: 0, from: bytes) } catch {
        return .failed(error.errno)
      }
    case .write:
      // Safety: as for reading.
      var bytes = unsafe MutableRawSpan(_unsafeStart: storage.start + offset, byteCount: count)
      do throws(DMAError) { try request.data.read(at: 0, into: &bytes) } catch {
        return .failed(error.errno)
      }
    case .flush: break
    case .writeZeroes, .discard: storage.erase(at: offset, byteCount: count)
    }
    return .done
  }

  func kick() {}
  func poll() -> Bool { false }
  func close() {}
}
