import VFIOUser

/// The root of the PCI bus: configuration mechanism 1, and which function sits where.
///
/// The guest writes bus, device, function and register to the address port (0xCF8) and reads or writes
/// the register at the data port (0xCFC), in 1, 2 or 4 bytes. There is one bus, 0; the bridge itself
/// is 00:00.0. What nobody answers reads as all ones.
///
/// Threads: any. The address port is one for all CPUs, as in hardware: a guest locks around its use.
/// Source: PCI Local Bus Specification 3.0, section 3.2.2.3.2.
public final class PCIHostBridge: GuestAccessHandler {
  /// The address port.
  public static let addressPort = GuestAddress(0xcf8)
  /// How many ports it takes, from the address port on.
  public static let portCount: UInt64 = 8
  /// The bit of the address port that makes the data port reach configuration space.
  private static let enable: UInt32 = 1 << 31

  private struct State {
    var selected: UInt32 = 0
    var functions: [PCIAddress: any PCIBusFunction] = [:]
  }

  private let state: Guarded<State>

  /// A bus with nothing on it but the bridge.
  public init() {
    var state = State()
    if let own = PCIAddress(device: 0) { state.functions[own] = HostBridgeFunction() }
    self.state = Guarded(state)
  }

  // MARK: What is on the bus

  /// Puts a function on the bus.
  ///
  /// - Throws: ``MachineError`` when the place is taken, or is on a bus that there is not.
  public func attach(_ function: any PCIBusFunction, at address: PCIAddress) throws(MachineError) {
    guard address.bus == 0 else {
      throw MachineError(
        .badAddress, "\(address): there is no bus \(String(address.bus, radix: 16)), only bus 0")
    }
    let isFree = state.withLock { state in
      guard state.functions[address] == nil else { return false }
      state.functions[address] = function
      return true
    }
    guard isFree else { throw MachineError(.badAddress, "\(address) is taken") }
  }

  /// Takes a function off the bus; nothing happens when there is none.
  public func detach(at address: PCIAddress) {
    _ = state.withLock { $0.functions.removeValue(forKey: address) }
  }

  /// The first device number with no function at all, or nil when the bus is full.
  public var freeAddress: PCIAddress? {
    state.withLock { state in
      let taken = Set(state.functions.keys.map(\.device))
      return (0...31).first { !taken.contains($0) }.flatMap { PCIAddress(device: $0) }
    }
  }

  /// Every function and where it sits, in order.
  public var functions: [(address: PCIAddress, function: any PCIBusFunction)] {
    state.withLock { $0.functions.map { ($0.key, $0.value) } }.sorted { $0.0 < $1.0 }
  }

  /// The first address whose device has no function 0, so that no guest would find it.
  var hiddenAddress: PCIAddress? {
    let all = state.withLock { $0.functions.keys.sorted() }
    let found = Set(all.filter { $0.function == 0 }.map(\.device))
    return all.first { !found.contains($0.device) }
  }

  // MARK: The ports

  /// Answers a read of the ports; one that straddles the two is all ones past the first.
  public func read(at offset: UInt64, byteCount: Int) -> UInt64 {
    access(at: offset, byteCount: byteCount, value: nil) ?? .max
  }

  /// Answers a write of the ports.
  public func write(_ value: UInt64, at offset: UInt64, byteCount: Int) {
    _ = access(at: offset, byteCount: byteCount, value: value)
  }

  /// Answers an access of the ports; nil when the function that is selected is away.
  public func access(at offset: UInt64, byteCount: Int, value: UInt64?) -> UInt64? {
    var result: UInt64 = 0
    for (place, part) in Self.parts(offset, byteCount) {
      if let value {
        let bits = UInt32(truncatingIfNeeded: value >> UInt64(place.shift))
        guard writePart(bits, place.port, part) else { return nil }
      } else {
        guard let bits = readPart(place.port, part) else { return nil }
        result |= UInt64(bits) << UInt64(place.shift)
      }
    }
    return result
  }

  /// An access as pieces of 1, 2 or 4 bytes that each lie in one of the two dwords: usually one.
  private static func parts(
    _ offset: UInt64, _ byteCount: Int
  ) -> [(place: (port: Int, shift: Int), byteCount: Int)] {
    let start = Int(truncatingIfNeeded: offset)
    if [1, 2, 4].contains(byteCount), start & 3 + byteCount <= 4 {
      return [((start, 0), byteCount)]
    }
    return (0..<max(0, byteCount)).map { ((start + $0, $0 * 8), 1) }
  }

  private func readPart(_ port: Int, _ byteCount: Int) -> UInt32? {
    if port < 4 {
      let selected = state.withLock(\.selected)
      return (selected >> UInt32(port * 8)).truncated(toByteCount: byteCount)
    }
    guard port < 8, let (function, register) = selection() else {
      return UInt32.max.truncated(toByteCount: byteCount)
    }
    return read(function, register + port & 3, byteCount)
  }

  private func writePart(_ value: UInt32, _ port: Int, _ byteCount: Int) -> Bool {
    if port < 4 {
      // Narrower writes are not for this register; 0xCF9 is a reset control elsewhere.
      guard port == 0, byteCount == 4 else { return true }
      state.withLock { $0.selected = value & ~3 & ~0x7f00_0000 }
      return true
    }
    guard port < 8, let (function, register) = selection() else { return true }
    return function.function.writeConfiguration(
      value.truncated(toByteCount: byteCount), at: register + port & 3, byteCount: byteCount)
  }

  /// The function and register that the address port names; nil when nobody is there.
  private func selection() -> (
    function: (address: PCIAddress, function: any PCIBusFunction), register: Int
  )? {
    state.withLock { state in
      guard state.selected & Self.enable != 0 else { return nil }
      let address = PCIAddress(requester: state.selected >> 8 & 0xffff)
      guard let function = state.functions[address] else { return nil }
      return ((address, function), Int(state.selected & 0xfc))
    }
  }

  private func read(
    _ target: (address: PCIAddress, function: any PCIBusFunction), _ offset: Int, _ byteCount: Int
  ) -> UInt32? {
    guard var value = target.function.readConfiguration(at: offset, byteCount: byteCount) else {
      return nil
    }
    // A guest looks beyond function 0 only when its header type says that there is more.
    let place = PCIHeader.headerType - offset
    if target.address.function == 0, (0..<byteCount).contains(place), hasSeveralFunctions(target) {
      value |= 0x80 << UInt32(place * 8)
    }
    return value.truncated(toByteCount: byteCount)
  }

  private func hasSeveralFunctions(
    _ target: (address: PCIAddress, function: any PCIBusFunction)
  ) -> Bool {
    state.withLock { state in
      state.functions.keys.contains {
        $0.device == target.address.device && $0.function > 0 && $0.bus == target.address.bus
      }
    }
  }
}

extension UInt32 {
  /// The low bytes.
  func truncated(toByteCount byteCount: Int) -> UInt32 {
    byteCount >= 4 ? self : self & ((1 << UInt32(byteCount * 8)) - 1)
  }
}
