import DeviceModel
import NVMe
import VFIOUser

/// An NVMe controller whose doorbells are further apart than ours are: only accesses to them are
/// translated.
final class StridedDisk: ServedDevice {
  private let function: PCIFunction
  private let shift: UInt8

  /// - Parameter doorbellStride: CAP.DSTRD.
  init(_ function: PCIFunction, doorbellStride: UInt8) {
    self.function = function
    shift = doorbellStride
  }

  var layout: DeviceLayout { function.layout }

  func region(at index: Int) -> Region? {
    guard let region = function.region(at: index), index == 0 else {
      return function.region(at: index)
    }
    return try? Region(
      byteCount: region.byteCount, handler: Registers(region, shift: shift))
  }

  func start(_ services: DeviceServices) { function.start(services) }
  func clientConnected() { function.clientConnected() }
  func clientDisconnected() { function.clientDisconnected() }
  func reset(_ kind: ResetKind) { function.reset(kind) }
  func quiesce(_ reason: QuiesceReason, _ completion: QuiesceCompletion) -> Quiescence {
    function.quiesce(reason, completion)
  }
  func resume() { function.resume() }
  func memoryMapped(_ range: DMARange) { function.memoryMapped(range) }
  func memoryUnmapped(_ range: DMARange) { function.memoryUnmapped(range) }

  /// BAR 0.
  private final class Registers: RegionHandler {
    private let region: Region
    private let shift: UInt8

    init(_ region: Region, shift: UInt8) {
      self.region = region
      self.shift = shift
    }

    func read(
      at offset: RegionOffset, into bytes: inout MutableRawSpan, _ access: AccessContext
    ) throws(Errno) {
      try region.read(at: offset, into: &bytes, access)
      guard offset.rawValue == ControllerRegisterOffset.capabilities, bytes.byteCount == 8 else {
        return
      }
      // DSTRD: bits 32 to 35.
      bytes.storeBytes(of: shift, toByteOffset: 4, as: UInt8.self)
    }

    func write(
      at offset: RegionOffset, from bytes: RawSpan, _ access: AccessContext
    ) throws(Errno) {
      let first = ControllerRegisterOffset.doorbells
      guard offset.rawValue >= first, offset.rawValue < first + 4096 else {
        return try region.write(at: offset, from: bytes, access)
      }
      let place = first + (offset.rawValue - first) >> shift
      try region.write(at: RegionOffset(place), from: bytes, access)
    }
  }
}
