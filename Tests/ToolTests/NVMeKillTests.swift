import DeviceProgram
import Glibc
import NVMe
import NVMeDriver
import Testing
import VFIOUser

/// A disk's process is killed in the middle of writes, and another one serves the file.
@Suite(.serialized, .timeLimit(.minutes(10))) struct NVMeKillTests {
  @Test(
    "What was flushed, or written with FUA, survives kill -9, whatever was in flight",
    arguments: ["auto", "threads"], [0, 2])
  func survives(_ engine: String, _ threads: Int) throws {
    let seed = UInt64.random(in: 0...(.max >> 16))
    var writer = KilledWriter(seed: seed)
    let folder = TemporaryFolder()
    let path = folder / "disk"
    let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    #expect(ftruncate(file, off_t(KilledWriter.blockCount * 512)) == 0)
    close(file)
    let arguments = [
      "--namespace", "file:\(path),engine=\(engine)", "--set", "queue-threads=\(threads)",
    ]
    for round in 0..<4 {
      let server = try Server("nvme", arguments, in: folder)
      let controller = try NVMeController.attach(path: server.path)
      let disk = try controller.namespace(1)
      // What the last process has left; that holds from now on.
      try writer.check(try controller.read(disk, block: 0, count: KilledWriter.blockCount))
      if let problem = writer.problem {
        Issue.record("round \(round), seed \(seed): \(problem)")
        return
      }
      let process = server.program.process.processID
      let delay = writer.random(20...150)
      // Meanwhile commands are on their way.
      let killer = KillerThread(process, after: delay)
      let error = #expect(throws: NVMeDriverError.self) {
        try writer.write(controller, disk)
      }
      killer.join()
      #expect(error?.code == .connection)
      #expect(server.program.process.wait(timeout: .seconds(60)) == .killed(SIGKILL))
      // The driver is done for, and says so at once.
      #expect(throws: NVMeDriverError.self) { try controller.status() }
      #expect(throws: NVMeDriverError.self) { try controller.reset() }
    }
    #expect(writer.durableCount > 0, "nothing was ever promised")
  }

  @Test("A tool whose server is killed ends with one line")
  func tool() throws {
    let server = try Server("nvme", ["--namespace", "null:1G", "--log-level", "info"])
    let bench = try Program(
      "vfio-user", ["nvme", "bench", server.path, "--seconds", "60", "--depth", "8"])
    // The first connection was to see whether the server is there.
    #expect(server.program.waits { $0.errors.ranges(of: "client connected").count >= 2 })
    usleep(100_000)
    server.program.end(SIGKILL)
    #expect(bench.process.wait(timeout: .seconds(60)) == .exited(1))
    #expect(bench.outcome.errorLines.count == 1, "\(bench.outcome.errors)")
    #expect(bench.outcome.errors.hasPrefix("vfio-user: nvme: "), "\(bench.outcome.errors)")
  }
}

/// Kills a process after a while.
private final class KillerThread {
  private var thread = pthread_t()

  private final class Body {
    let process: Int32
    let delay: Int
    init(_ process: Int32, _ delay: Int) {
      self.process = process
      self.delay = delay
    }
  }

  /// - Parameter delay: in milliseconds.
  init(_ process: Int32, after delay: Int) {
    let box = Unmanaged.passRetained(Body(process, delay))
    let result = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        let body = Unmanaged<Body>.fromOpaque(argument).takeRetainedValue()
        usleep(UInt32(body.delay) * 1000)
        kill(body.process, SIGKILL)
        return nil
      }, box.toOpaque())
    precondition(result == 0, "no thread for a test")
  }

  func join() { pthread_join(thread, nil) }
}
