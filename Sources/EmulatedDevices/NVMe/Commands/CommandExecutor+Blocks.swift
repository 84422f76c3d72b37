import BlockStorage
import DeviceModel
import NVMe

// Commands that concern blocks without moving data of the driver's.

extension CommandExecutor {
  /// The blocks that Command Dwords 10 to 12 name; nil when they are not all there.
  func blocks(_ request: NVMeRequest, _ namespace: NVMeNamespace) -> Range<UInt64>? {
    let first = request.entry.startingBlock
    let count = UInt64(request.entry.blockCount)
    let total = namespace.blockCount
    guard first < total, count <= total - first else { return nil }
    return first..<(first + count)
  }

  /// Write Zeroes, with Deallocate (DEAC).
  ///
  /// Source: NVMe 1.4, section 6.17.
  func writeZeroes(_ request: NVMeRequest, _ namespace: NVMeNamespace) {
    guard let range = blocks(request, namespace) else {
      return refuse(request, .blockOutOfRange, at: 40)
    }
    if let status = obstacle(request, namespace, range.lowerBound, range.count, isWrite: true),
      !(status ~= .invalidField)
    {
      return request.complete(status)
    }
    // PRINFO without PRACT, which has no use without metadata.
    guard request.entry.dword12 & 0x3c00_0000 == 0 else {
      return refuse(request, .invalidField, at: 48)
    }
    let isDeallocating = request.entry.dword12 & 1 << 25 != 0
    let block = request.block
    let shift = namespace.blockShift
    let isDurable = request.entry.forcesUnitAccess || writesThrough
    // Only zeros that are written can be durable at once.
    block.set(
      isDeallocating && namespace.storage.traits.canDiscard && !isDurable ? .discard : .writeZeroes,
      byteOffset: range.lowerBound << UInt64(shift), byteCount: range.count << shift,
      isDurable: isDurable)
    submitOnly(request, namespace)
  }

  /// Write Uncorrectable.
  ///
  /// Source: NVMe 1.4, section 6.16.
  func writeUncorrectable(_ request: NVMeRequest, _ namespace: NVMeNamespace) {
    guard let range = blocks(request, namespace) else {
      return refuse(request, .blockOutOfRange, at: 40)
    }
    guard !namespace.isReadOnly else { return request.complete(.namespaceWriteProtected) }
    request.complete(namespace.markUncorrectable(range) ? .success : .internalError)
  }

  /// Verify: the blocks can be read.
  ///
  /// Source: NVMe 1.4, section 6.14.
  func verify(_ request: NVMeRequest, _ namespace: NVMeNamespace) {
    guard let range = blocks(request, namespace) else {
      return refuse(request, .blockOutOfRange, at: 40)
    }
    if let status = obstacle(request, namespace, range.lowerBound, range.count, isWrite: false) {
      return request.complete(status)
    }
    start(ReadSteps(self, request, namespace, range, comparesWith: nil), request)
  }

  /// Compare: the blocks hold what the driver has.
  ///
  /// Source: NVMe 1.4, section 6.6.
  func compare(_ request: NVMeRequest, _ namespace: NVMeNamespace) {
    guard let range = blocks(request, namespace) else {
      return refuse(request, .blockOutOfRange, at: 40)
    }
    let byteCount = range.count << namespace.blockShift
    guard byteCount <= limits.transferByteCount else {
      return refuse(request, .invalidField, at: 48)
    }
    if let status = obstacle(request, namespace, range.lowerBound, range.count, isWrite: false) {
      return request.complete(status)
    }
    if let status = pointer.resolve(
      request.entry, byteCount, .read, pageByteCount: pageByteCount, to: request.data)
    {
      return refuse(request, status, at: 24)
    }
    tally(namespace, readBytes: byteCount)
    start(ReadSteps(self, request, namespace, range, comparesWith: request.data), request)
  }
}
