/// What carries out the commands of the admin queue.
///
/// Threads: confined to the loop of the queue's group.
protocol CommandHandler: AnyObject {
  /// Carries out a command, now or later; ends with ``NVMeRequest/complete(_:result:)``.
  func execute(_ request: NVMeRequest)
}
