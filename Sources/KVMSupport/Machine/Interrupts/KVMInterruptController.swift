import VFIOUser

/// KVM's interrupt controller: eventfds lead to it as irqfds, without this process doing anything.
///
/// Each message takes a line of its own beyond those of the controller's inputs. The kernel takes the
/// routes of all lines as one table, so requests that come together cost one setting.
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
    var settingCount = 0
  }

  /// As many as the kernel has room for, with the routes of the inputs.
  private static let lineLimit: UInt32 = 4000
  private let machine: VirtualMachine
  private let state = Guarded(State())

  /// - Parameter machine: it has an interrupt controller.
  init(_ machine: VirtualMachine) { self.machine = machine }

  /// How often the table of routes was given to the kernel.
  var settingCount: Int { state.withLock { $0.settingCount } }

  func connect(
    _ descriptor: CInt, to target: InterruptTarget
  ) throws(MachineError) -> InterruptConnection {
    let outcome: Result<InterruptConnection, MachineError> =
      switch target {
      case .message(let message):
        connect([MessageRequest(.descriptor(descriptor), to: message)])[0]
      case .line(let line, let resample):
        state.withLock { state in
          assign(
            InterruptDescriptor(line: UInt32(line), descriptor: descriptor, resample: resample),
            &state)
        }
      }
    return try outcome.get()
  }

  func connect(
    _ requests: [MessageRequest]
  ) -> [Result<InterruptConnection, MachineError>] {
    state.withLock { state in
      let before = state.messages
      let lines = requests.map { request -> UInt32? in
        guard let line = Self.line(for: request.source, &state) else { return nil }
        state.messages[line] = request.message
        return line
      }
      var failure: MachineError?
      if state.messages != before {
        do throws(KVMError) { try setRoutes(&state) } catch {
          failure = MachineError(.systemCall, "\(error)")
          for line in state.messages.keys where before[line] == nil { state.unused.append(line) }
          state.messages = before
        }
      }
      // The routes first: a signal that came before counts as soon as its eventfd is known.
      return zip(requests, lines).map { request, line in
        guard let line else {
          let isNew = if case .descriptor = request.source { true } else { false }
          return .failure(
            MachineError(
              .systemCall,
              isNew ? "too many interrupts are in use" : "the interrupt is not connected"))
        }
        if let failure { return .failure(failure) }
        switch request.source {
        case .connection(let connection): return .success(connection)
        case .descriptor(let descriptor):
          let made = assign(InterruptDescriptor(line: line, descriptor: descriptor), &state)
          if case .failure = made { release(line, &state) }
          return made
        }
      }
    }
  }

  private func assign(
    _ interrupt: InterruptDescriptor, _ state: inout State
  ) -> Result<InterruptConnection, MachineError> {
    do throws(KVMError) { try machine.assign(interrupt) } catch {
      return .failure(MachineError(.systemCall, "\(error)"))
    }
    state.nextIdentity += 1
    state.connections[state.nextIdentity] = interrupt
    return .success(InterruptConnection(identity: state.nextIdentity))
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

  /// The line that an eventfd has, or is to have; nil when there is none.
  private static func line(
    for source: MessageRequest.Source, _ state: inout State
  ) -> UInt32? {
    switch source {
    case .connection(let connection):
      guard let line = state.connections[connection.identity]?.line, state.messages[line] != nil
      else { return nil }
      return line
    case .descriptor:
      if let line = state.unused.popLast() { return line }
      guard state.next < lineLimit else { return nil }
      state.next += 1
      return state.next - 1
    }
  }

  /// The line can be used again; its route goes with the next change of routes.
  private func release(_ line: UInt32, _ state: inout State) {
    if state.messages.removeValue(forKey: line) != nil { state.unused.append(line) }
  }

  private func setRoutes(_ state: inout State) throws(KVMError) {
    state.settingCount += 1
    try machine.setRoutes(
      InterruptRoute.standard
        + state.messages.map {
          InterruptRoute(
            line: $0.key, to: .message(address: $0.value.address, data: $0.value.data))
        })
  }
}
