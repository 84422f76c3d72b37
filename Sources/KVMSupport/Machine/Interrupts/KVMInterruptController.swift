import VFIOUser

/// KVM's interrupt controller: eventfds lead to it as irqfds, without this process doing anything.
///
/// Each message takes a line of its own beyond those of the controller's inputs.
///
/// Threads: any.
final class KVMInterruptController: InterruptController {
  private struct State {
    var connections: [Int: InterruptDescriptor] = [:]
    var nextIdentity = 0
    var messages: [UInt32: InterruptMessage] = [:]
    var unused: [UInt32] = []
    /// Lines 0 to 23 are the controller's inputs.
    var next: UInt32 = 24
  }

  /// As many as the kernel has room for, with the routes of the inputs.
  private static let lineLimit: UInt32 = 4000
  private let machine: VirtualMachine
  private let state = Guarded(State())

  /// - Parameter machine: it has an interrupt controller.
  init(_ machine: VirtualMachine) { self.machine = machine }

  func connect(
    _ descriptor: CInt, to target: InterruptTarget
  ) throws(MachineError) -> InterruptConnection {
    let outcome: Result<InterruptConnection, MachineError> = state.withLock { state in
      do throws(KVMError) {
        let interrupt: InterruptDescriptor
        switch target {
        case .line(let line, let resample):
          interrupt = InterruptDescriptor(
            line: UInt32(line), descriptor: descriptor, resample: resample)
        case .message(let message):
          guard let line = state.unused.popLast() ?? Self.newLine(&state) else {
            return .failure(MachineError(.systemCall, "too many interrupts are in use"))
          }
          interrupt = InterruptDescriptor(line: line, descriptor: descriptor)
          state.messages[line] = message
          do throws(KVMError) { try setRoutes(state) } catch {
            release(line, &state)
            throw error
          }
        }
        do throws(KVMError) { try machine.assign(interrupt) } catch {
          if case .message = target { release(interrupt.line, &state) }
          throw error
        }
        state.nextIdentity += 1
        state.connections[state.nextIdentity] = interrupt
        return .success(InterruptConnection(identity: state.nextIdentity))
      } catch {
        return .failure(MachineError(.systemCall, "\(error)"))
      }
    }
    return try outcome.get()
  }

  func change(
    _ connection: InterruptConnection, to message: InterruptMessage
  ) throws(MachineError) {
    let failure: MachineError? = state.withLock { state in
      guard let interrupt = state.connections[connection.identity],
        state.messages[interrupt.line] != nil
      else { return nil }
      state.messages[interrupt.line] = message
      do { try setRoutes(state) } catch { return MachineError(.systemCall, "\(error)") }
      return nil
    }
    if let failure { throw failure }
  }

  func disconnect(_ connection: InterruptConnection) {
    state.withLock { state in
      guard let interrupt = state.connections.removeValue(forKey: connection.identity) else {
        return
      }
      try? machine.deassign(interrupt)
      release(interrupt.line, &state)
    }
  }

  private static func newLine(_ state: inout State) -> UInt32? {
    guard state.next < lineLimit else { return nil }
    state.next += 1
    return state.next - 1
  }

  /// The line can be used again; its route goes with the next change of routes.
  private func release(_ line: UInt32, _ state: inout State) {
    if state.messages.removeValue(forKey: line) != nil { state.unused.append(line) }
  }

  private func setRoutes(_ state: State) throws(KVMError) {
    try machine.setRoutes(
      InterruptRoute.standard
        + state.messages.map {
          InterruptRoute(
            line: $0.key, to: .message(address: $0.value.address, data: $0.value.data))
        })
  }
}
