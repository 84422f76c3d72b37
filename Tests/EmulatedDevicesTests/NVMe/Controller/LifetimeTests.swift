import Glibc
import NVMe
import Testing

@testable import VFIOUser

@Suite("nvme: lifetime", .timeLimit(.minutes(10)))
struct LifetimeTests {
  @Test(
    "E9: a device that is gone leaves nothing behind, whatever was open",
    arguments: RigMode.allCases)
  func gone(mode: RigMode) throws {
    weak var storage: ProbeStorage?
    do {
      let probe = try ProbeStorage()
      storage = probe
      let rig = try mode.makeRig(storages: [probe])
      #expect(try rig.status(.read) == .success)
      try rig.submit(.asynchronousEventRequest)
      try rig.settle()
    }
    // The last to go is the server's thread.
    for _ in 0..<60_000 where storage != nil { usleep(1000) }
    #expect(storage == nil)
  }
}
