import CVFIOUserLinux
import Synchronization
import VFIOUser

/// A CPU in software: it replays a script of accesses, where there is no KVM.
///
/// It leaves results and interrupt counts in the guest's memory, in the places where the same
/// script on a CPU of KVM's leaves them. Interrupts are taken between two operations, and while it
/// waits.
///
/// Threads: as ``GuestCPU``.
public final class ScriptedCPU: GuestCPU {
  private let index: Int
  private let script: AccessScript
  private let placement: AccessScriptPlacement
  private let memory: SharedMemory
  private let controller: SoftwareInterruptController
  private let isStopped = Atomic<Bool>(false)

  /// Makes a CPU.
  ///
  /// - Parameters:
  ///   - index: its number.
  ///   - script: what it does.
  ///   - placement: where it leaves results; the script has been loaded there.
  ///   - memory: the guest's, from address 0 on.
  ///   - controller: where its interrupts come from.
  public init(
    index: Int, script: AccessScript, placement: AccessScriptPlacement, memory: SharedMemory,
    controller: SoftwareInterruptController
  ) {
    self.index = index
    self.script = script
    self.placement = placement
    self.memory = memory
    self.controller = controller
  }

  /// See ``GuestCPU``.
  public func stop() {
    // Pairs with the loads between operations.
    isStopped.store(true, ordering: .releasing)
    controller.wake(cpu: index)
  }

  /// See ``GuestCPU``.
  public func run(_ space: AddressSpace) -> GuestCPUEnding {
    var core = Core(self, space)
    do throws(Leave) {
      for operation in script.operations {
        try core.perform(operation)
        try core.takeInterrupts()
      }
    } catch {
      switch error {
      case .stopped: return .stopped
      case .exited(let status): return .exited(status)
      }
    }
    return .exited(AccessScriptStatus.done.rawValue)
  }

  /// Ends a script.
  private enum Leave: Error {
    case stopped
    case exited(UInt32)
  }

  /// What one run of the script knows; confined to its thread.
  private struct Core {
    let cpu: ScriptedCPU
    let space: AddressSpace
    var progress = AccessProgress()
    var takesInterrupts = false
    var isHandling = false
    var actions: [UInt8: AccessOperation] = [:]

    init(_ cpu: ScriptedCPU, _ space: AddressSpace) {
      self.cpu = cpu
      self.space = space
    }

    mutating func perform(_ operation: AccessOperation) throws(Leave) {
      switch operation {
      case .read(let space, let start, let byteCount, let slot, let count, let step):
        var address = start
        for time in 0..<Int(count) {
          let value = try access(.read(space, at: address, byteCount: byteCount))
          if let slot { keep(value, slot + time) }
          address.advance(by: step)
        }
      case .write(let space, let start, let first, let byteCount, let count, let addend, let step):
        var (address, value) = (start, first)
        for _ in 0..<count {
          try access(
            .write(
              value.truncated(toByteCount: byteCount), space, at: address, byteCount: byteCount))
          value &+= addend
          address.advance(by: step)
        }
      case .writeResult(let space, let address, let slot, let byteCount, let mask, let setting):
        let value = result(slot) & mask | setting
        try access(
          .write(value.truncated(toByteCount: byteCount), space, at: address, byteCount: byteCount))
      case .poll(let space, let address, let byteCount, let mask, let wanted, let slot, let limit):
        try poll(
          .read(space, at: address, byteCount: byteCount), mask, wanted, slot, Int(limit))
      case .enableInterrupts: takesInterrupts = true
      case .awaitInterrupts(let vector, let count):
        while self.count(of: vector) < count {
          try takeInterrupts()
          guard self.count(of: vector) < count else { break }
          cpu.controller.wait(cpu: cpu.index, timeout: .seconds(1))
        }
      case .onInterrupt(let vector, let action): actions[vector] = action
      case .readString(let port, let byteCount, let count, let buffer):
        for element in 0..<Int(count) {
          let value = try access(
            .read(.port, at: GuestAddress(UInt64(port)), byteCount: byteCount))
          try access(
            .write(value, at: buffer.element(element, byteCount), byteCount: byteCount))
        }
      case .writeString(let port, let byteCount, let count, let buffer):
        for element in 0..<Int(count) {
          let value = try access(
            .read(at: buffer.element(element, byteCount), byteCount: byteCount))
          try access(
            .write(value, .port, at: GuestAddress(UInt64(port)), byteCount: byteCount))
        }
      case .exit(let status): throw .exited(UInt32(status))
      }
    }

    private mutating func poll(
      _ read: GuestAccess, _ mask: UInt64, _ wanted: UInt64, _ slot: Int?, _ limit: Int
    ) throws(Leave) {
      for time in 0..<limit {
        let value = try access(read)
        if let slot { keep(value, slot) }
        if value & mask == wanted { return }
        try takeInterrupts()
        // Somebody else has to change it.
        if time & 15 == 15 { sched_yield() }
      }
      throw .exited(AccessScriptStatus.timedOut.rawValue)
    }

    /// Carries one access out.
    @discardableResult
    private mutating func access(_ access: GuestAccess) throws(Leave) -> UInt64 {
      if let status = access.exitStatus { throw .exited(status) }
      while !cpu.isStopped.load(ordering: .acquiring) {
        if case .done(let value) = space.access(access, &progress) { return value }
      }
      throw .stopped
    }

    // MARK: Interrupts

    /// Handles every interrupt that has come.
    mutating func takeInterrupts() throws(Leave) {
      if cpu.isStopped.load(ordering: .acquiring) { throw .stopped }
      guard takesInterrupts, !isHandling else { return }
      while let vector = cpu.controller.take(cpu: cpu.index) {
        isHandling = true
        if let action = actions[vector] { try perform(action) }
        isHandling = false
        store(UInt64(count(of: vector) &+ 1), at: counter(of: vector), byteCount: 4)
        cpu.controller.end(vector, cpu: cpu.index)
      }
    }

    private func counter(of vector: UInt8) -> UInt64 {
      cpu.placement.workspace.rawValue + AccessScriptPlacement.countersOffset + UInt64(vector) * 4
    }

    private func count(of vector: UInt8) -> UInt32 {
      (try? cpu.memory.load32(at: Int(clamping: counter(of: vector)))) ?? 0
    }

    // MARK: Results

    private func keep(_ value: UInt64, _ slot: Int) {
      store(value, at: cpu.placement.results.rawValue + UInt64(slot) * 8, byteCount: 8)
    }

    private func result(_ slot: Int) -> UInt64 {
      (try? cpu.memory.load64(
        at: Int(clamping: cpu.placement.results.rawValue + UInt64(slot) * 8))) ?? 0
    }

    /// The script was checked against its placement when it was loaded.
    private func store(_ value: UInt64, at address: UInt64, byteCount: Int) {
      let place = Int(clamping: address)
      if byteCount == 8 {
        try? cpu.memory.store64(value, at: place)
      } else {
        try? cpu.memory.store32(UInt32(truncatingIfNeeded: value), at: place)
      }
    }
  }
}

extension GuestAddress {
  /// Goes on, as a CPU of 32 bits does.
  fileprivate mutating func advance(by step: UInt32) {
    rawValue = (rawValue &+ UInt64(step)) & 0xffff_ffff
  }

  /// Where an element of an array is.
  fileprivate func element(_ index: Int, _ byteCount: Int) -> GuestAddress {
    GuestAddress(rawValue &+ UInt64(index * byteCount))
  }
}
