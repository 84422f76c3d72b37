import VFIOUser

// For devices that work on several loops, and whose clients reach memory without messages.

extension PCIFunction {
  /// Keeps clients from mapping a shared memory of a BAR; they reach it with messages then.
  ///
  /// Its content stays as it is: the device reads and writes the same bytes, and a handler that it
  /// has set sees every access. Only during the device's initialiser.
  /// - Throws: ``PCIHardwareError`` when the BAR declares no shared memory of that name.
  public func withholdMapping(of name: String, in bar: Int) throws(PCIHardwareError) {
    precondition(!isRealised, "mappings are withheld in the device's initialiser")
    _ = try sharedMemory(name, in: bar)
    let content = hardware.bars.first { $0.index == bar }?.contents.first { $0.name == name }
    guard var mapping = mappings[bar], let content else { return }
    mapping.areas.removeAll { $0.offset.rawValue == content.offset }
    // No areas at all would mean the whole region.
    mappings[bar] = mapping.areas.isEmpty ? nil : mapping
  }

  /// A further loop for the device, run by a thread of its own, that waits for work as ``loop`` does.
  ///
  /// It runs until the function is released, and is joined then; what it works with is the device's
  /// to bring to rest in ``PCIDevice/quiesce(_:_:)``. Set it up through `post`.
  /// - Parameter name: what tools call the thread; the first 15 bytes count.
  /// - Throws: `EMFILE` when no descriptor is left, `EAGAIN` when no thread is.
  public func makeWorkerLoop(named name: String) throws(Errno) -> EventLoop {
    let worker = try LoopThread(name: name, polling: loop.polling)
    workers.append(worker)
    return worker.loop
  }

  /// A way to guest memory for another loop, under the same bus-master enable bit.
  ///
  /// Call it on the function's loop; the engine belongs to `other`. Not in the device's initialiser.
  public func makeDMAEngine(on other: EventLoop) -> DMAEngine {
    guard let services else {
      preconditionFailure("guest memory is out of reach in a device's initialiser")
    }
    return other === loop ? services.dma : services.makeDMAEngine(on: other)
  }

  /// What raises `vector` from any loop; see ``raise(vector:)``.
  ///
  /// Call it on the function's loop. Not in the device's initialiser.
  public func interruptTrigger(vector: Int) -> InterruptTrigger {
    precondition(services != nil, "interrupts are out of reach in a device's initialiser")
    return interruptController.makeTrigger(vector: vector, home: loop)
  }
}
