import NVMe

/// A command's 64 bytes, as they lie in a queue.
func bytes(of entry: SubmissionQueueEntry) -> [UInt8] {
  entry.words.indices.flatMap { index in littleEndian(entry.words[index]) }
}

/// A completion's 16 bytes, as they lie in a queue.
func bytes(of entry: CompletionQueueEntry) -> [UInt8] {
  littleEndian(entry.low) + littleEndian(entry.high)
}

/// The bytes that are not zero, by their offsets.
func occupied(_ bytes: [UInt8]) -> [Int: UInt8] {
  var found: [Int: UInt8] = [:]
  for (offset, byte) in bytes.enumerated() where byte != 0 { found[offset] = byte }
  return found
}

private func littleEndian(_ word: UInt64) -> [UInt8] {
  (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64($0 * 8)) }
}
