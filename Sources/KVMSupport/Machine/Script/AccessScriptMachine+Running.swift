extension AccessScriptMachine {
  /// Runs a script on a CPU to its end, with every access answered by an address space.
  ///
  /// - Parameter space: made with ``machine`` as its hypervisor, for what causes no exit.
  /// - Returns: how the script ended; nil when the CPU stopped before.
  /// - Throws: as `run(_:cpu:_:)`.
  @discardableResult
  public func run(
    _ script: AccessScript, cpu: Int = 0, in space: AddressSpace
  ) throws(KVMError) -> AccessScriptStatus? {
    var progress = AccessProgress()
    return try run(script, cpu: cpu) { cpu, exit in
      guard let access = exit.access else { return exit == .interrupted }
      while true {
        if case .done(let value) = space.access(access, &progress) {
          if access.value == nil { cpu.complete(value) }
          return true
        }
      }
    }
  }

  /// How long an exit takes: a guest's 4-byte read of a register that is answered at once, with nothing
  /// else in between. The measure for every other way to answer.
  ///
  /// - Parameter count: how many reads the mean is taken of.
  /// - Throws: as `run(_:cpu:_:)`.
  public func exitDuration(count: UInt32 = 20_000) throws(KVMError) -> Duration {
    let script = AccessScript([
      .read(at: GuestAddress(0xe000_0000), byteCount: 4, count: count)
    ])
    let clock = ContinuousClock()
    let start = clock.now
    let status = try run(script) { cpu, exit in
      cpu.complete(0)
      return exit.access != nil || exit == .interrupted
    }
    guard status == .done else { throw KVMError(.run, .ioError, "the script did not end") }
    return (clock.now - start) / Int(max(count, 1))
  }
}
