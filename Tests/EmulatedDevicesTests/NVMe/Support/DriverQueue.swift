/// A submission queue and its completion queue, as a driver keeps them.
final class DriverQueue {
  let identifier: UInt16
  let entryCount: Int
  let completionEntryCount: Int
  var completionIdentifier: UInt16
  /// Where the rings lie in the rig's memory.
  let completions: Int
  let entries: Int
  var tail = 0
  var rungTail = 0
  var head = 0
  var rungHead = 0
  var phase = true
  var nextCommand: UInt16 = 0

  init(
    identifier: UInt16, entryCount: Int, completionEntryCount: Int? = nil, completions: Int,
    entries: Int
  ) {
    self.identifier = identifier
    self.entryCount = entryCount
    self.completionEntryCount = completionEntryCount ?? entryCount
    completionIdentifier = identifier
    self.completions = completions
    self.entries = entries
  }
}
