import Foundation
import NVMeDriver
import Testing
import VFIOUser

/// Random commands, resets and disconnects, on the device and on a model of it.
///
/// `VFIO_USER_MODEL_SEED=N` repeats one run; `VFIO_USER_MODEL_SECONDS=N` lets all of them together go on
/// for that long, each time with another seed.
@Suite(.serialized) struct ModelTests {
  private static let environment = ProcessInfo.processInfo.environment
  private static let seed = environment["VFIO_USER_MODEL_SEED"].flatMap { UInt64($0) }
  private static let seconds = environment["VFIO_USER_MODEL_SECONDS"].flatMap { Double($0) }
  /// How many rounds a run has at most; on a busy machine it has fewer.
  private static let roundCount = 40

  @Test(
    "E4, E9, I20: every byte and every status is the model's", arguments: ModelConfiguration.all)
  func agrees(_ configuration: ModelConfiguration) throws {
    let share = (Self.seconds ?? 5) / Double(ModelConfiguration.all.count)
    let deadline = MonotonicTime.now.advanced(by: .milliseconds(Int(share * 1000)))
    var seed = Self.seed ?? UInt64.random(in: 0...(.max >> 16))
    var commandCount = 0
    repeat {
      var round = 0
      do {
        let run = try ModelRun(configuration, seed: seed)
        while round < Self.roundCount,
          round < 6 || Self.seed != nil || MonotonicTime.now < deadline
        {
          round += 1
          try run.runRound()
        }
        round = 0
        try run.finish()
        commandCount += run.commandCount
      } catch {
        Issue.record(
          """
          VFIO_USER_MODEL_SEED=\(seed), \(configuration.name), \
          \(round == 0 ? "at the end" : "round \(round)"): \(error)
          """)
        return
      }
      seed &+= 1
    } while MonotonicTime.now < deadline && (Self.seed == nil || Self.seconds != nil)
    #expect(commandCount > 0)
    if Self.seconds != nil { print("\(configuration.name): \(commandCount) commands agree") }
  }
}
