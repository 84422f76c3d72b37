@testable import KVMSupport
import VFIOUser

/// A region that answers messages in the test's process and writes down what it was asked for.
final class RecordingRegion: DeviceRegion {
  struct Message: Hashable, Sendable {
    var offset: UInt64
    var byteCount: Int
    /// Nil for a read.
    var value: UInt64?
    var isPosted = false
  }

  let info: RegionInfo
  let messages = Observed<[Message]>([])
  let failure = Observed<ClientError?>(nil)
  private let answer: @Sendable (UInt64, Int) -> UInt64

  init(
    byteCount: UInt64, flags: RegionFlags = [.read, .write],
    _ answer: @escaping @Sendable (_ offset: UInt64, _ byteCount: Int) -> UInt64 = { _, _ in 0 }
  ) {
    info = RegionInfo(index: 0, flags: flags, byteCount: byteCount)
    self.answer = answer
  }

  private func note(_ message: Message) throws(ClientError) {
    messages.update { $0.append(message) }
    if let failure = failure.value { throw failure }
  }

  func readWord(at offset: RegionOffset, byteCount: Int) throws(ClientError) -> UInt64 {
    try note(Message(offset: offset.rawValue, byteCount: byteCount))
    return answer(offset.rawValue, byteCount)
  }

  func writeWord(_ word: UInt64, at offset: RegionOffset, byteCount: Int) throws(ClientError) {
    try note(Message(offset: offset.rawValue, byteCount: byteCount, value: word))
  }

  func postWord(_ word: UInt64, at offset: RegionOffset, byteCount: Int) throws(ClientError) {
    try note(
      Message(offset: offset.rawValue, byteCount: byteCount, value: word, isPosted: true))
  }

  func read(at offset: RegionOffset, into bytes: inout MutableRawSpan) throws(ClientError) {
    throw ClientError(.unsupported, .notSupported, "only words")
  }

  func write(at offset: RegionOffset, from bytes: RawSpan) throws(ClientError) {
    throw ClientError(.unsupported, .notSupported, "only words")
  }
}
