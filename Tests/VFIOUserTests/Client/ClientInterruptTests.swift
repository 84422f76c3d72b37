import CVFIOUserLinux
import Testing

@testable import VFIOUser

@Suite("Client interrupts") struct ClientInterruptTests {
  @Test("E6: eventfds are handed over in messages of the server's limit, and deliver")
  func eventfds() throws {
    let server = try FakeServer { end in
      try end.greet()
      let query = try end.expect(.deviceGetIRQInfo)
      try end.reply(
        to: query, IRQInfo(index: 2, flags: [.eventfd, .noresize], count: 20).encodedPayload())
      var received: [CInt] = []
      for (start, count) in [(4, 8), (12, 8), (20, 4)] as [(UInt32, UInt32)] {
        let message = try end.expect(.deviceSetIRQs)
        #expect(
          try SetIRQs(decoding: message.payload.rawSpan)
            == SetIRQs(
              action: .trigger, selection: .eventfds, index: 2, start: start, count: count))
        #expect(message.descriptors.count == Int(count))
        received += message.descriptors
        try end.reply(to: message)
      }
      let last = try EventDescriptor(adopting: OwnedDescriptor(adopting: received[19]))
      last.signal()
      last.signal()
      for raw in received.dropLast() { _ = OwnedDescriptor(adopting: raw) }
    }
    let client = try server.connect()
    #expect(try client.interruptInfo(index: 2).count == 20)
    let interrupts = try client.enableInterrupts(index: 2, start: 4, count: 20)
    #expect(interrupts.map(\.vector) == Array(4..<24))
    server.join()
    #expect(interrupts[19].wait(timeout: .seconds(60)) == 2)
    #expect(interrupts[19].consume() == nil)
    #expect(interrupts[0].wait(timeout: .milliseconds(1)) == nil)
  }

  @Test("E6: masking, unmasking, triggering and disabling are the specification's messages")
  func actions() throws {
    let server = try FakeServer { end in
      try end.greet()
      let expected = [
        SetIRQs(action: .mask, selection: .all, index: 0, start: 0, count: 1),
        SetIRQs(action: .unmask, selection: .flagged([1, 0, 1]), index: 2, start: 1, count: 3),
        SetIRQs(action: .trigger, selection: .all, index: 2, start: 5, count: 2),
        SetIRQs(action: .trigger, selection: .eventfds, index: 2, start: 0, count: 4),
        SetIRQs.disable(index: 2),
      ]
      for request in expected {
        let message = try end.expect(.deviceSetIRQs)
        #expect(try SetIRQs(decoding: message.payload.rawSpan) == request)
        #expect(message.descriptors.isEmpty)
        try end.reply(to: message)
      }
      let resample = try end.expect(.deviceSetIRQs)
      #expect(
        try SetIRQs(decoding: resample.payload.rawSpan)
          == SetIRQs(action: .unmask, selection: .eventfds, index: 0, start: 0, count: 1))
      try end.reply(to: resample)
      let raw = try #require(resample.descriptors.first)
      let event = try EventDescriptor(adopting: OwnedDescriptor(adopting: raw))
      #expect(event.wait(timeout: .seconds(60)) == 1)
    }
    let client = try server.connect()
    try client.maskInterrupts(index: 0)
    try client.unmaskInterrupts(index: 2, start: 1, count: 3, where: [true, false, true])
    try client.triggerInterrupts(index: 2, start: 5, count: 2)
    try client.releaseInterrupts(index: 2, count: 4)
    try client.disableInterrupts(index: 2)
    let resample = try client.enableResample(index: 0)
    resample[0].signal()
    server.join()
  }

  @Test("Arguments that make no sense are refused without a message")
  func badArguments() throws {
    let server = try FakeServer { end in try end.greet() }
    let client = try server.connect()
    #expect(clientError { _ = try client.interruptInfo(index: -1) }?.code == .invalidArgument)
    #expect(
      clientError { _ = try client.enableInterrupts(index: 0, count: 0) }?.code
        == .invalidArgument)
    #expect(
      clientError { try client.maskInterrupts(index: 0, count: 2, where: [true]) }?.code
        == .invalidArgument)
  }
}
