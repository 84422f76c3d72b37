import CVFIOUserLinux
import Testing

@testable import VFIOUser

/// The monitor's end of an ioregionfd: what goes over the socket, and how it ends.
@Suite("IORegionChannel") struct IORegionChannelTests {
  private static let sizes = [1, 2, 4, 8]

  @Test("I7 I8 I9 I11 I12: a read is one frame out and one frame in", arguments: sizes)
  func readFrames(byteCount: Int) throws {
    let pair = try PortPair()
    let device = DispatchThread {
      let bytes = pair.receiveBytes() ?? []
      let exponent = UInt8([1: 0, 2: 1, 4: 2, 8: 3][byteCount] ?? 0)
      #expect(
        bytes == [exponent << 4 | 1 << 6, 0, 0, 0, 0, 0, 0, 0]
          + [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]
          + [0x34, 0x12, 0, 0, 0, 0, 0, 0] + [UInt8](repeating: 0, count: 8))
      pair.send([1, 2, 3, 4, 5, 6, 7, 8] + [UInt8](repeating: 0xff, count: 24))
    }
    var progress = IORegionProgress()
    let outcome = pair.port.perform(
      .read(at: 0x1234, byteCount: byteCount, userData: 0x1122_3344_5566_7788), &progress)
    #expect(outcome == .done(UInt64(0x0807_0605_0403_0201).truncated(toByteCount: byteCount)))
    #expect(!progress.isUnderWay)
    device.join()
  }

  @Test("I9 I10: a write waits for its response, a posted one does not", arguments: sizes)
  func writeFrames(byteCount: Int) throws {
    let pair = try PortPair()
    var progress = IORegionProgress()
    // Nobody reads: a posted write ends nevertheless.
    #expect(
      pair.port.perform(
        .write(.max, at: 8, byteCount: byteCount, userData: 5, isPosted: true), &progress)
        == .done(0))
    let posted = try #require(pair.receive())
    #expect(!posted.wantsResponse && posted.operation == .write)
    #expect(posted.data == UInt64.max.truncated(toByteCount: byteCount))
    let isAnswered = Observed(false)
    let device = DispatchThread {
      let command = pair.receive()
      #expect(command?.wantsResponse == true)
      #expect(command?.data == 7)
      isAnswered.update { $0 = true }
      pair.respond(0)
    }
    #expect(
      pair.port.perform(.write(7, at: 8, byteCount: byteCount, userData: 5), &progress)
        == .done(0))
    #expect(isAnswered.value)
    device.join()
  }

  @Test("E16: a read has no more bytes than were asked for, a write no value", arguments: sizes)
  func cut(byteCount: Int) throws {
    let pair = try PortPair()
    let device = pair.serve { _ in .max }
    var progress = IORegionProgress()
    #expect(
      pair.port.perform(.read(at: 0, byteCount: byteCount, userData: 0), &progress)
        == .done(UInt64.max.truncated(toByteCount: byteCount)))
    #expect(
      pair.port.perform(.write(1, at: 0, byteCount: byteCount, userData: 0), &progress)
        == .done(0))
    pair.port.close()
    device.join()
  }

  @Test("E16: that holds where a signal comes before the response, too")
  func cutAfterSignal() throws {
    DispatchThread.installKick()
    let pair = try PortPair()
    let isInterrupted = Observed(false)
    let vcpu = DispatchThread {
      var progress = IORegionProgress()
      var outcome = IORegionOutcome.interrupted
      while outcome == .interrupted {
        outcome = pair.port.perform(.read(at: 0, byteCount: 2, userData: 0), &progress)
        isInterrupted.update { $0 = true }
      }
      #expect(outcome == .done(0xffff))
    }
    #expect(pair.receive() != nil)
    while !isInterrupted.value {
      vcpu.signal(SIGUSR1)
      usleep(1000)
    }
    pair.respond(.max)
    vcpu.join()
  }

  @Test("I10 I13: posted writes block while the reader is slow, and arrive in order")
  func stalledReader() throws {
    let pair = try PortPair()
    let total: UInt64 = 20_000
    let sent = Observed<UInt64>(0)
    let writer = DispatchThread {
      var progress = IORegionProgress()
      for value in 0..<total {
        let outcome = pair.port.perform(
          .write(value, at: 0, byteCount: 8, userData: 0, isPosted: true), &progress)
        #expect(outcome == .done(0))
        sent.update { $0 = value + 1 }
      }
    }
    // Once the writer has begun, the socket is full long before the last one.
    #expect(sent.wait { $0 > 0 })
    var expected: UInt64 = 0
    while expected < total {
      let isBehind = expected == 0 && sent.value == total
      #expect(!isBehind, "nothing was read, and nothing blocked")
      guard let command = pair.receive() else { break }
      #expect(command.data == expected)
      if command.data != expected { break }
      expected += 1
    }
    #expect(expected == total)
    writer.join()
    #expect(sent.value == total)
  }

  @Test("I10 E16: a reader that stalls for ever is given up")
  func endlessStall() throws {
    let pair = try PortPair(timeout: .milliseconds(100))
    var progress = IORegionProgress()
    var outcome = IORegionOutcome.done(0)
    var count = 0
    while outcome == .done(0), count < 100_000 {
      outcome = pair.port.perform(
        .write(1, at: 0, byteCount: 4, userData: 0, isPosted: true), &progress)
      count += 1
    }
    #expect(outcome == .failed(.timedOut))
    #expect(!pair.port.isOpen)
  }

  @Test("I10 I14 E16: a reader that stalls for ever is given up, however many signals come")
  func endlessStallUnderSignals() throws {
    DispatchThread.installKick()
    let pair = try PortPair(timeout: .milliseconds(400))
    let interruptions = Observed(0)
    let ending = Observed<IORegionOutcome?>(nil)
    let vcpu = DispatchThread {
      var progress = IORegionProgress()
      var outcome = IORegionOutcome.done(0)
      while outcome == .done(0) || outcome == .interrupted {
        // Far beyond the time; else the loop would go on where the time began anew.
        if interruptions.value >= 300 { break }
        outcome = pair.port.perform(
          .write(1, at: 0, byteCount: 4, userData: 0, isPosted: true), &progress)
        guard outcome == .interrupted else { continue }
        #expect(progress.isUnderWay)
        interruptions.update { $0 += 1 }
      }
      #expect(!progress.isUnderWay)
      ending.update { $0 = outcome }
    }
    while ending.value == nil {
      vcpu.signal(SIGUSR1)
      usleep(20_000)
    }
    vcpu.join()
    #expect(ending.value == .failed(.timedOut))
    #expect(!pair.port.isOpen)
  }

  @Test("E16: an access that has waited for room does not wait for its response anew")
  func oneTimeForAllWaits() throws {
    // Without the socket's own time-out, a wait that begins anew ends by the watchdog alone: as `lost`.
    var outcome = IORegionOutcome.done(0)
    let isSent = Observed(false)
    // Where the machine is slow, the room may come too early, or too late.
    for _ in 0..<10 where outcome != .failed(.timedOut) || !isSent.value {
      isSent.update { $0 = false }
      let pair = try PortPair(timeout: .milliseconds(500))
      var none = timeval(tv_sec: 0, tv_usec: 0)
      #expect(
        setsockopt(
          pair.copy, SOL_SOCKET, SO_RCVTIMEO, &none, socklen_t(MemoryLayout<timeval>.size)) == 0)
      let filler = [UInt8](repeating: 0, count: IORegionCommand.byteCount)
      while send(pair.copy, filler, filler.count, CInt(MSG_DONTWAIT)) == filler.count {}
      let hasBegun = Observed(false)
      let reader = DispatchThread {
        _ = hasBegun.wait { $0 }
        usleep(50_000)
        while let bytes = pair.receiveBytes(isWaiting: false) {
          if bytes[16] == 8 { isSent.update { $0 = true } }
        }
      }
      var progress = IORegionProgress()
      hasBegun.update { $0 = true }
      outcome = pair.port.perform(.read(at: 8, byteCount: 4, userData: 0), &progress)
      reader.join()
      // What came behind the reader's last look.
      while let command = pair.receive(isWaiting: false) {
        if command.offset == 8 { isSent.update { $0 = true } }
      }
      #expect(!pair.port.isOpen)
    }
    #expect(outcome == .failed(.timedOut))
    #expect(isSent.value)
  }

  @Test("I13: a read comes behind the posted writes before it")
  func readBehindPosted() throws {
    let pair = try PortPair()
    let seen = Observed<UInt64>(0)
    let device = pair.serve { command in
      if command.operation == .write { seen.update { $0 = command.data } }
      return seen.value
    }
    var progress = IORegionProgress()
    for value in UInt64(1)...200 {
      #expect(
        pair.port.perform(
          .write(value, at: 0, byteCount: 8, userData: 0, isPosted: true), &progress) == .done(0))
      #expect(
        pair.port.perform(.read(at: 0, byteCount: 8, userData: 0), &progress) == .done(value))
    }
    pair.port.close()
    device.join()
  }

  @Test(
    "E16: a response that has not 32 bytes closes the port",
    arguments: [(1, IORegionFailure.garbage), (31, .garbage), (33, .garbage), (64, .garbage)])
  func garbage(byteCount: Int, failure: IORegionFailure) throws {
    let pair = try PortPair()
    let device = DispatchThread {
      _ = pair.receive()
      pair.send([UInt8](repeating: 0xaa, count: byteCount))
    }
    var progress = IORegionProgress()
    #expect(
      pair.port.perform(.read(at: 0, byteCount: 4, userData: 0), &progress) == .failed(failure))
    #expect(!pair.port.isOpen)
    #expect(
      pair.port.perform(.read(at: 0, byteCount: 4, userData: 0), &progress) == .failed(.closed))
    device.join()
    // The server learns that it is over.
    #expect(pair.receiveBytes() == nil)
  }

  @Test("I2 E16: a server that closed before, during and after an access")
  func death() throws {
    let pair = try PortPair()
    var progress = IORegionProgress()
    #expect(pair.port.isOpen)
    let device = DispatchThread {
      _ = pair.receive()
      pair.closeDevice()
    }
    #expect(
      pair.port.perform(.read(at: 0, byteCount: 4, userData: 0), &progress) == .failed(.lost))
    device.join()
    #expect(!pair.port.isOpen)

    let other = try PortPair()
    other.closeDevice()
    #expect(!other.port.isOpen)
    #expect(
      other.port.perform(.write(1, at: 0, byteCount: 4, userData: 0), &progress)
        == .failed(.closed))
  }

  @Test("E16: a command that dies unread is lost, not closed")
  func deathWithUnreadCommand() throws {
    let pair = try PortPair()
    let device = DispatchThread {
      var state = pollfd(fd: pair.device, events: Int16(POLLIN), revents: 0)
      _ = poll(&state, 1, 60_000)
      pair.closeDevice()
    }
    var progress = IORegionProgress()
    #expect(
      pair.port.perform(.read(at: 0, byteCount: 4, userData: 0), &progress) == .failed(.lost))
    device.join()
  }

  @Test("E16: a silent server is given up in time", arguments: PollingMode.allCases)
  func silence(polling: PollingMode) throws {
    let pair = try PortPair(timeout: .milliseconds(100), polling: polling)
    var progress = IORegionProgress()
    #expect(
      pair.port.perform(.read(at: 0, byteCount: 4, userData: 0), &progress)
        == .failed(.timedOut))
    #expect(!pair.port.isOpen)
  }

  @Test("E16: a server that takes the socket's timeout away, or its blocking, hangs nobody")
  func tampering() throws {
    let pair = try PortPair(timeout: .milliseconds(200))
    var none = timeval(tv_sec: 0, tv_usec: 0)
    #expect(
      setsockopt(
        pair.copy, SOL_SOCKET, SO_RCVTIMEO, &none, socklen_t(MemoryLayout<timeval>.size)) == 0)
    var progress = IORegionProgress()
    let outcome = pair.port.perform(.read(at: 0, byteCount: 4, userData: 0), &progress)
    #expect(outcome == .failed(.lost))

    let other = try PortPair(timeout: .milliseconds(200))
    _ = cvfu_set_nonblocking(other.copy, true)
    #expect(
      other.port.perform(.read(at: 0, byteCount: 4, userData: 0), &progress)
        == .failed(.timedOut))
  }

  @Test("I11: polled responses are the same", arguments: PollingMode.allCases)
  func polled(polling: PollingMode) throws {
    let pair = try PortPair(polling: polling)
    let device = pair.serve { $0.offset + $0.userData }
    var progress = IORegionProgress()
    for offset in UInt64(0)..<500 {
      #expect(
        pair.port.perform(.read(at: offset, byteCount: 8, userData: 1000), &progress)
          == .done(1000 + offset))
    }
    pair.port.close()
    device.join()
  }

  @Test("I23 E16: what is no socket of sequenced packets is refused")
  func wrongDescriptors() throws {
    let stream = try PortPair.sockets(CInt(SOCK_STREAM.rawValue))
    let datagrams = try PortPair.sockets(CInt(SOCK_DGRAM.rawValue))
    let event = eventfd(0, 0)
    let listening = socket(AF_UNIX, CInt(SOCK_SEQPACKET.rawValue), 0)
    #expect(listen(listening, 1) != 0 || true)
    for descriptor in [stream.monitor, datagrams.monitor, event] {
      #expect(throws: Errno.invalidArgument) {
        _ = try IORegionChannel(adopting: OwnedDescriptor(adopting: descriptor))
      }
    }
    for descriptor in [stream.device, datagrams.device, listening] { close(descriptor) }
  }
}
