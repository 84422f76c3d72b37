/// What a driver did wrong with a doorbell: reported by an asynchronous event.
///
/// Source: NVMe 1.4, figure 146.
enum DoorbellError: UInt8, Sendable {
  /// A doorbell of a queue that does not exist.
  case unknownQueue = 0x00
  /// A value that the queue cannot have.
  case invalidValue = 0x01
}
