import Testing

@testable import KVMSupport
@testable import VFIOUser

/// How often the kernel is given the routes of messages: the table is set as a whole each time.
@Suite(.enabled(if: kvmIsHere), .timeLimit(.minutes(2))) struct KVMInterruptControllerTests {
  private let controller: KVMInterruptController

  init() throws {
    let machine = try VirtualMachine(kvm: KVM())
    try machine.createInterruptController()
    controller = KVMInterruptController(machine)
  }

  private func message(_ number: Int) -> InterruptMessage {
    InterruptMessage(address: 0xfee0_0000, data: UInt32(0x20 + number % 0xd0))
  }

  private static func errors(
    _ outcomes: [Result<InterruptConnection, MachineError>]
  ) -> [Int] {
    outcomes.enumerated().compactMap { place, outcome in
      if case .failure = outcome { place } else { nil }
    }
  }

  @Test("E6: messages that are connected together cost one setting of the routes, however many")
  func together() throws {
    let events = try (0..<200).map { _ in EventDescriptorBox(try EventDescriptor()) }
    let requests = events.enumerated().map {
      MessageRequest(.descriptor($0.element.rawValue), to: message($0.offset))
    }
    let connections = try controller.connect(requests).map { try $0.get() }
    #expect(Set(connections).count == 200)
    #expect(controller.settingCount == 1)
    // Changed together, the same again, and gone.
    for _ in 0..<2 {
      let changes = connections.enumerated().map {
        MessageRequest(.connection($0.element), to: message($0.offset + 1))
      }
      #expect(try controller.connect(changes).map { try $0.get() } == connections)
      #expect(controller.settingCount == 2)
    }
    for connection in connections { controller.disconnect(connection) }
    #expect(controller.settingCount == 2)
    #expect(Self.errors(controller.connect(requests)) == [])
    #expect(controller.settingCount == 3)
  }

  @Test("E6: what is refused among messages that are connected together is refused alone")
  func refusals() throws {
    let events = try (0..<2).map { _ in EventDescriptorBox(try EventDescriptor()) }
    let gone = try controller.connect(events[0].rawValue, to: .message(message(0)))
    controller.disconnect(gone)
    // An eventfd leads to one message at a time.
    let outcomes = controller.connect([
      MessageRequest(.descriptor(events[0].rawValue), to: message(1)),
      MessageRequest(.connection(gone), to: message(2)),
      MessageRequest(.descriptor(events[0].rawValue), to: message(3)),
      MessageRequest(.descriptor(events[1].rawValue), to: message(4)),
    ])
    #expect(Self.errors(outcomes) == [1, 2])
    #expect(controller.settingCount == 2)
  }

  @Test("E6: turning MSI-X on, and unmasking all of it, sets the routes once each")
  func function() throws {
    let window: UInt64 = 0xe000_0000
    let test = try TestMachine(.kvm, [VectorDevice.self])
    let controller = try #require(test.machine.controller as? KVMInterruptController)
    let settings = Observed<[Int]>([])
    try test.machine.space.place(
      CallHandler { [weak controller] in
        guard let controller else { return }
        settings.update { $0.append(controller.settingCount) }
      }, in: .port, at: GuestAddress(0x500), byteCount: 1)
    let note = AccessOperation.write(.port, at: GuestAddress(0x500), 1, byteCount: 1)
    let capability = try #require(test.machine.devices.first?.profile.capabilities.msix)
    let control = UInt64(capability) + 2
    var script = AccessScript([.enableInterrupts])
    script.place(slot: 1, [0: window, 4: window + 0x10_0000])
    for index in 0..<UInt64(VectorDevice.vectorCount) {
      let entry = window + 0x10_1000 + index * 16
      script.write(entry, 0xfee0_0000)
      script.write(entry + 8, 0x60 + index)
      script.write(entry + 12, 0)
    }
    script.append(note)
    for value: UInt64 in [0x8000, 0xc000, 0x8000] {
      script.writeConfiguration(slot: 1, control, value, byteCount: 2)
      script.append(note)
    }
    for index in 0..<UInt64(VectorDevice.vectorCount) {
      script.write(window + 8, index)
      script.append(.awaitInterrupts(vector: UInt8(0x60 + index), count: 1))
    }
    #expect(try test.run(script) == .exited(0))
    #expect(settings.value == [0, 1, 1, 2])
    #expect(test.events.value.isEmpty, "\(test.events.value)")
  }
}
