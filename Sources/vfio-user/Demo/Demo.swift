/// The demonstration: `edu` first, then `nvme`, then a guest that drives `edu`.
///
/// Device and driver are connected by a socket pair, so that there is no socket to remove, and each
/// device's process ends when this one does, however it ends.
struct Demo {
  /// Whether the guest runs in software also where there is a KVM.
  let usesSoftware: Bool

  /// Runs all steps, printing each with its time.
  ///
  /// - Throws: when a step fails or gives a wrong result.
  func run() throws {
    let clock = ContinuousClock()
    let start = clock.now
    let report = DemoReport()
    print("edu, in a process of its own:")
    try EduDemo(report).run()
    print("nvme, in a process of its own, its disk a file:")
    try NVMeDemo(report).run()
    try MachineDemo(report, usesSoftware: usesSoftware).run()
    print("done in \(report.milliseconds(clock.now - start))")
  }
}
