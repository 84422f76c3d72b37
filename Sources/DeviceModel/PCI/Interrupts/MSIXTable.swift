import VFIOUser

/// The MSI-X table of a function: an address, data and a mask bit for each vector.
///
/// The package delivers by the client's eventfds, so only the mask bit has an effect here. A client
/// may also keep the table to itself (QEMU does): its writes then never arrive, and every entry
/// would look masked. So an entry's mask bit counts only once the client has written to that entry
/// since the last reset.
///
/// Source: PCI Local Bus Specification 3.0, section 6.8.2.6.
final class MSIXTable: RegionHandler {
  /// The size of an entry in bytes.
  static let entryByteCount = 16
  /// The vector control register within an entry.
  private static let control = 12

  private let vectorCount: Int
  private var bytes: [UInt8]
  private var isWritten: [Bool]
  private let maskChanged: (_ vector: Int, _ isMasked: Bool) -> Void

  init(vectorCount: Int, maskChanged: @escaping (_ vector: Int, _ isMasked: Bool) -> Void) {
    self.vectorCount = vectorCount
    self.maskChanged = maskChanged
    bytes = [UInt8](repeating: 0, count: vectorCount * Self.entryByteCount)
    isWritten = [Bool](repeating: false, count: vectorCount)
    maskAll()
  }

  /// Whether the table holds back `vector`.
  func isMasked(_ vector: Int) -> Bool {
    isWritten[vector] && bytes[vector * Self.entryByteCount + Self.control] & 1 != 0
  }

  /// Every entry back to its state after power-on: masked, and not yet written.
  func reset() {
    for index in bytes.indices { bytes[index] = 0 }
    maskAll()
    for vector in 0..<vectorCount where isWritten[vector] {
      isWritten[vector] = false
      maskChanged(vector, false)
    }
  }

  private func maskAll() {
    for vector in 0..<vectorCount { bytes[vector * Self.entryByteCount + Self.control] = 1 }
  }

  func read(
    at offset: RegionOffset, into bytes: inout MutableRawSpan, _ access: AccessContext
  ) throws(Errno) {
    guard let start = Int(exactly: offset.rawValue), start < self.bytes.count else { return }
    for index in 0..<min(bytes.byteCount, self.bytes.count - start) {
      bytes.storeBytes(of: self.bytes[start + index], toByteOffset: index, as: UInt8.self)
    }
  }

  func write(
    at offset: RegionOffset, from bytes: RawSpan, _ access: AccessContext
  ) throws(Errno) {
    guard let start = Int(exactly: offset.rawValue), start < self.bytes.count else { return }
    let end = start + min(bytes.byteCount, self.bytes.count - start)
    guard end > start else { return }
    for vector in (start / Self.entryByteCount)...((end - 1) / Self.entryByteCount) {
      let wasMasked = isMasked(vector)
      let entry = vector * Self.entryByteCount
      for position in max(start, entry)..<min(end, entry + Self.entryByteCount) {
        self.bytes[position] = bytes.byte(at: position - start) & Self.writable(position)
      }
      isWritten[vector] = true
      if isMasked(vector) != wasMasked { maskChanged(vector, !wasMasked) }
    }
  }

  /// The bits of a byte of the table that a driver can write.
  private static func writable(_ position: Int) -> UInt8 {
    switch position % entryByteCount {
    case 0: 0xfc  // messages go to addresses that are multiples of 4
    case control: 0x01
    case (control + 1)...: 0x00
    default: 0xff
    }
  }
}

/// The MSI-X pending bit array of a function: a read-only bit for each vector.
///
/// Source: PCI Local Bus Specification 3.0, section 6.8.2.10.
final class MSIXPendingBits: RegionHandler {
  private let vectorCount: Int
  private let isPending: (_ vector: Int) -> Bool

  init(vectorCount: Int, isPending: @escaping (_ vector: Int) -> Bool) {
    self.vectorCount = vectorCount
    self.isPending = isPending
  }

  func read(
    at offset: RegionOffset, into bytes: inout MutableRawSpan, _ access: AccessContext
  ) throws(Errno) {
    guard let start = Int(exactly: offset.rawValue), start < vectorCount else { return }
    for index in 0..<bytes.byteCount {
      var value: UInt8 = 0
      for bit in 0..<8 {
        let vector = (start + index) * 8 + bit
        guard vector < vectorCount else { break }
        if isPending(vector) { value |= 1 << bit }
      }
      bytes.storeBytes(of: value, toByteOffset: index, as: UInt8.self)
    }
  }

  func write(
    at offset: RegionOffset, from bytes: RawSpan, _ access: AccessContext
  ) throws(Errno) {
    // Read-only hardware: writes are ignored.
  }
}
