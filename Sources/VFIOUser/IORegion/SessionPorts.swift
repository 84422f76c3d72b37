import Logging

/// The descriptors through which one client reaches the device beside its messages.
///
/// They are made when the client asks for them, served by the loops of their ranges, held back by
/// fences, and gone with the session.
///
/// Threads: confined to the device's loop.
final class SessionPorts {
  private unowned let host: DeviceHost
  private let logger: Logger
  private var loops: [Loop] = []
  private var groups: [GroupName: Group] = [:]
  private var events: [EventName: EventDescriptorBox] = [:]
  private var pauseCount = 0
  /// How many other loops have not done yet what they were asked for.
  private var pendingCount = 0
  private var whenSettledActions: [() -> Void] = []
  private var isClosed = false

  /// A loop that serves something.
  private struct Loop {
    let loop: EventLoop
    let ports: LoopConfined<LoopPorts>
  }

  private struct GroupName: Hashable {
    var region: Int
    var number: Int
    var loop: ObjectIdentifier
  }

  private final class Group {
    let number: Int
    var parts: [RegionExecutor.Part: Int] = [:]
    init(_ number: Int) { self.number = number }
  }

  private struct EventName: Hashable {
    var region: Int
    var offset: RegionOffset
    var byteCount: UInt64
    var value: UInt64?
  }

  init(host: DeviceHost, logger: Logger) {
    self.host = host
    self.logger = logger
  }

  // MARK: GET_REGION_IO_FDS

  /// What the client is told and sent.
  struct Answer {
    var message: RegionIODescriptors
    /// In the order in which the entries name them.
    var descriptors: [CInt] = []
    /// Keeps the descriptors open until they are sent.
    var owners: [AnyObject] = []
  }

  /// Makes the descriptors of a region.
  ///
  /// - Parameters:
  ///   - byteLimit: the longest payload that the client takes. A client whose limit is too low asks again:
  ///     only the complete answer has descriptors.
  ///   - agreed: what holds on the connection.
  func describe(_ index: Int, byteLimit: UInt32, _ agreed: Capabilities) -> Answer {
    let none = Answer(message: RegionIODescriptors(index: UInt32(index), entries: []))
    guard !isClosed, let region = host.regions[index], !host.paths[index].isEmpty else {
      return none
    }
    let layout = host.layout.regions[index]
    let plan = RegionPathPlan(host.paths[index], of: region, layout, home: host.loop)
    for (path, reason) in plan.refusals {
      logger.debug("region \(index): the path at \(path.offset) is not offered: \(reason)")
    }
    let (chosen, mailboxes) = choose(plan.entries, of: index, agreed)
    let full = RegionIODescriptors(
      index: UInt32(index),
      entries: chosen.map {
        RegionIODescriptor(
          offset: $0.path.offset, byteCount: $0.path.byteCount, descriptorIndex: 0,
          kind: .ioregionfd)
      })
    guard full.encodedByteCount <= Int(byteLimit) else { return Answer(message: full) }
    var answer = none
    var opened: [GroupName: Opened] = [:]
    for entry in chosen {
      append(entry, of: index, region, layout, mailboxes, &opened, to: &answer)
    }
    return answer
  }

  /// A group's descriptor in the answer that is being made.
  private struct Opened {
    var kind: RegionIODescriptor.Kind
    var descriptorIndex: UInt32
  }

  /// The entries that the connection has room for, and the groups that are to be reached by a mailbox.
  private func choose(
    _ entries: [RegionPathPlan.Entry], of region: Int, _ agreed: Capabilities
  ) -> (entries: [RegionPathPlan.Entry], mailboxes: Set<GroupName>) {
    var left = min(
      Int(clamping: agreed.effectiveMessageDescriptorCount),
      host.options.maximumMessageDescriptorCount)
    var names: Set<GroupName> = []
    var mailboxes: Set<GroupName> = []
    let chosen = entries.filter { entry in
      switch entry.path.kind {
      case .message: return false
      case .postedMessage: return agreed.offers(.posted)
      case .ioeventfd:
        guard left > 0,
          agreed.offers(.regionChanged) || host.staysGood(entry.path, of: region)
        else { return false }
        left -= 1
        return true
      case .ioregionfd:
        let name = groupName(entry, region)
        if names.contains(name) { return true }
        guard left > 0 else { return false }
        let isMailbox = agreed.offers(.mailbox) && left >= MailboxStore.descriptorCount
        left -= isMailbox ? MailboxStore.descriptorCount : 1
        names.insert(name)
        if isMailbox { mailboxes.insert(name) }
        return true
      }
    }
    return (chosen, mailboxes)
  }

  private func groupName(_ entry: RegionPathPlan.Entry, _ region: Int) -> GroupName {
    GroupName(
      region: region, number: entry.path.descriptorGroup,
      loop: ObjectIdentifier(entry.loop ?? host.loop))
  }

  /// Adds one entry and what it needs; leaves it out when the system has no descriptor for it.
  private func append(
    _ entry: RegionPathPlan.Entry, of index: Int, _ region: HostedRegion, _ layout: RegionLayout,
    _ mailboxes: Set<GroupName>, _ opened: inout [GroupName: Opened], to answer: inout Answer
  ) {
    let path = entry.path
    var result = RegionIODescriptor(
      offset: path.offset, byteCount: path.byteCount,
      descriptorIndex: UInt32(answer.descriptors.count), kind: .ioregionfd)
    do throws(Errno) {
      switch path.kind {
      case .message: return
      case .postedMessage:
        result.kind = .postedMessage
        result.descriptorIndex = RegionIODescriptor.Kind.noDescriptor
      case .ioeventfd(let value):
        let event = try eventfd(entry, index, value)
        result.kind = .ioeventfd
        if layout.isPortIO { result.flags |= RegionIODescriptor.Flags.eventIsPortIO }
        if let value {
          result.flags |= RegionIODescriptor.Flags.eventMatches
          result.value = value
        }
        answer.descriptors.append(event.event.rawValue)
      case .ioregionfd(let postsWrites):
        let name = groupName(entry, index)
        let ports = self.ports(of: entry.loop ?? host.loop)
        let (group, part) = self.part(of: path, in: name, region, ports)
        if let known = opened[name] {
          result.kind = known.kind
          result.descriptorIndex = known.descriptorIndex
        } else {
          let ends = try IORegionEnds.make(mayBeMailbox: mailboxes.contains(name))
          result.kind = ends.kind
          opened[name] = Opened(kind: ends.kind, descriptorIndex: result.descriptorIndex)
          answer.descriptors += ends.client.map(\.rawValue)
          answer.owners += ends.client
          let device = ends.device
          run(on: ports) { $0.serve(device, for: group) }
        }
        result.value = RegionExecutor.userData(region: index, part: part)
        if layout.isPortIO { result.flags |= RegionIODescriptor.Flags.regionIsPortIO }
        if postsWrites { result.flags |= RegionIODescriptor.Flags.regionPostsWrites }
      }
      answer.message.entries.append(result)
    } catch {
      logger.warning("region \(index): no descriptor for the path at \(path.offset): \(error)")
    }
  }

  /// The group's number and the part's number in it; both are made where they are new.
  private func part(
    of path: RegionPath, in name: GroupName, _ region: HostedRegion, _ ports: Loop
  ) -> (group: Int, part: Int) {
    let group = groups[name] ?? Group(groups.count)
    groups[name] = group
    let part = RegionExecutor.Part(offset: path.offset.rawValue, byteCount: path.byteCount)
    if let known = group.parts[part] { return (group.number, known) }
    let number = group.parts.count
    group.parts[part] = number
    let hosted = LoopConfined(region)
    let (groupNumber, index) = (group.number, name.region)
    run(on: ports) { $0.add(part, to: groupNumber, of: hosted.value, index: index) }
    return (groupNumber, number)
  }

  /// The eventfd of a path, made once.
  private func eventfd(
    _ entry: RegionPathPlan.Entry, _ index: Int, _ value: UInt64?
  ) throws(Errno) -> EventDescriptorBox {
    let path = entry.path
    let name = EventName(
      region: index, offset: path.offset, byteCount: path.byteCount, value: value)
    if let known = events[name] { return known }
    guard let range = entry.range else { throw .invalidArgument }
    let event = EventDescriptorBox(try EventDescriptor())
    events[name] = event
    let loop = entry.loop ?? host.loop
    let handler = LoopConfined(range.handler)
    let offset = RegionOffset(path.offset.rawValue - range.offset.rawValue)
    let byteCount = Int(path.byteCount)
    run(on: ports(of: loop)) {
      $0.listen(
        to: EventWatch(
          event, on: loop, handler.value, at: offset, byteCount: byteCount, value: value))
    }
    return event
  }

  // MARK: Loops

  private func ports(of loop: EventLoop) -> Loop {
    if let known = loops.first(where: { $0.loop === loop }) { return known }
    let ports = LoopPorts(loop: loop, engine: host.options.ioRegionEngine, logger: logger)
    let made = Loop(loop: loop, ports: LoopConfined(ports))
    loops.append(made)
    for _ in 0..<pauseCount { ports.pause() }
    return made
  }

  private func run(on ports: Loop, _ body: @escaping @Sendable (LoopPorts) -> Void) {
    if ports.loop === host.loop { return body(ports.ports.value) }
    let confined = ports.ports
    ports.loop.post { body(confined.value) }
  }

  /// Runs `body` on every loop; `whenSettled` tells when all have.
  private func runEverywhere(_ body: @escaping @Sendable (LoopPorts) -> Void) {
    let home = host.loop
    let target = LoopConfined(WeakPorts(self))
    for ports in loops {
      guard ports.loop !== home else {
        body(ports.ports.value)
        continue
      }
      pendingCount += 1
      // A loop that has ended drops what it is asked for, and that counts as done.
      let done = QuiesceCompletion { home.post { target.value.ports?.oneSettled() } }
      let confined = ports.ports
      ports.loop.post {
        body(confined.value)
        done.done()
      }
    }
  }

  private final class WeakPorts {
    weak var ports: SessionPorts?
    init(_ ports: SessionPorts) { self.ports = ports }
  }

  private func oneSettled() {
    pendingCount -= 1
    guard pendingCount == 0 else { return }
    let actions = whenSettledActions
    whenSettledActions = []
    for action in actions { action() }
  }

  /// Calls `action` when every loop has done what it was asked for: at once where there is no other.
  func whenSettled(_ action: @escaping () -> Void) {
    if pendingCount == 0 { action() } else { whenSettledActions.append(action) }
  }

  // MARK: Fences and the end

  /// Lets no further access in until `resume`. Calls nest.
  func pause() {
    pauseCount += 1
    runEverywhere { $0.pause() }
  }

  /// Ends one `pause`.
  func resume() {
    pauseCount -= 1
    runEverywhere { $0.resume() }
  }

  /// Answers what waits with all-ones: a reset came.
  func voidDeferred() { runEverywhere { $0.voidDeferred() } }

  /// Closes every descriptor, for good.
  func close() {
    guard !isClosed else { return }
    isClosed = true
    runEverywhere { $0.close() }
    groups = [:]
    events = [:]
  }
}
