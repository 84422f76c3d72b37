import CAllocationCounter
import VFIOUser

/// Nanoseconds of the monotonic clock.
func now() -> UInt64 { cac_nanoseconds() }

func runBenchmarks() throws {
  guard try !Child.runIfAsked() else { return }
  var report = Report()
  print("Ratios of figures taken in turns in one run; single figures vary with the machine.")
  let all: [(String, (inout Report) throws -> Void)] = [
    ("reads", benchmarkRegisterReads),
    ("posted", benchmarkPostedWrites),
    ("paths", benchmarkAccessPaths),
    ("mailbox", benchmarkMailboxFloor),
    ("path-instructions", benchmarkPathInstructions),
    ("path-overlap", benchmarkPathOverlap),
    ("dma", benchmarkDMACopies),
    ("lookup", benchmarkLookups),
    ("memory", benchmarkGuestMemory),
    ("spin", benchmarkSpinning),
    ("registers", benchmarkRegisterBlock),
    ("allocations", benchmarkAllocations),
    ("idle", benchmarkIdleProcess),
    ("nvme", benchmarkNVMeCommands),
    ("nvme-scaling", benchmarkNVMeScaling),
    ("nvme-instructions", benchmarkNVMeInstructions),
  ]
  let wanted = Set(CommandLine.arguments.dropFirst())
  for (name, benchmark) in all where wanted.isEmpty || wanted.contains(name) {
    try benchmark(&report)
  }
  print(report.missed == 0 ? "\nEvery aim was met." : "\nAims missed: \(report.missed)")
}

try runBenchmarks()
