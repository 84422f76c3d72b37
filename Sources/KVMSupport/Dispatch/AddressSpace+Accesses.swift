import VFIOUser

// What a vCPU does. Nothing is allocated, and no lock is taken but for a new map.
extension AddressSpace {
  /// Carries an access out on the calling vCPU's thread.
  ///
  /// The wait for a port ends with a signal, that for a device which is away after a moment, and every
  /// wait with a time-out; a wait for the reply to a message does not end with a signal. What a device
  /// said of its regions before it answered a message is in force afterwards.
  /// - Parameters:
  ///   - access: 1 to 8 bytes; any other number belongs to nobody.
  ///   - progress: the vCPU's own. After `.interrupted`, call again with the same access; another one
  ///     gives the interrupted one up.
  public func access(
    _ access: GuestAccess, _ progress: inout AccessProgress
  ) -> AccessOutcome {
    guard (1...8).contains(access.byteCount) else { return .done(access.isRead ? .max : 0) }
    let written = access.value?.truncated(toByteCount: access.byteCount)
    if progress.access != access {
      let map = adoptMap(&progress)
      if let written, signals(access, written, map) { return .done(0) }
      progress.begin()
    }
    while progress.doneByteCount < access.byteCount {
      switch carryOut(access, written, &progress) {
      case .done: continue
      case .interrupted: progress.access = access
      case .away:
        // Nothing is done: it begins anew, because another mechanism may be there for it by then.
        if progress.doneByteCount == 0 {
          progress.access = nil
        } else {
          _ = adoptMap(&progress)
          progress.access = access
        }
      }
      return .interrupted
    }
    progress.access = nil
    return .done(progress.value)
  }

  /// How the next piece of an access went.
  private enum Piece {
    case done
    /// A signal came first.
    case interrupted
    /// The device is away, and may come back.
    case away
  }

  /// Signals the eventfd that takes a write; false when there is none.
  private func signals(_ access: GuestAccess, _ value: UInt64, _ map: AddressMap) -> Bool {
    guard case .entry(let index) = map.find(access.space, access.address.rawValue),
      map.hasEvents(access.space, index), let event = map.event(for: access, value: value)
    else { return false }
    event.signal.signal()
    event.part?.counters.note(.ioeventfd)
    return true
  }

  /// Carries out the next piece of an access.
  private func carryOut(
    _ access: GuestAccess, _ written: UInt64?, _ progress: inout AccessProgress
  ) -> Piece {
    let done = progress.doneByteCount
    let left = access.byteCount - done
    let (address, overflow) = access.address.rawValue.addingReportingOverflow(UInt64(done))
    guard !overflow, let map = progress.map else {
      progress.finish(left, access.isRead ? .max : 0)
      return .done
    }
    switch map.find(access.space, address) {
    case .nobody(let gap):
      progress.finish(min(left, Int(clamping: gap)), access.isRead ? .max : 0)
    case .entry(let index):
      let entry = map.entry(access.space, index)
      let room = entry.last - address
      let count = room >= UInt64(left) ? left : Int(room) + 1
      let value = written.map {
        ($0 >> UInt64(8 * done)).truncated(toByteCount: count)
      }
      return carryOut(entry, address - entry.base, count, value, &progress)
    }
    return .done
  }

  private func carryOut(
    _ entry: AddressMap.Entry, _ offset: UInt64, _ count: Int, _ value: UInt64?,
    _ progress: inout AccessProgress
  ) -> Piece {
    switch entry.target {
    case .part(let part, let window):
      let failureCount = window.failureCount
      do {
        progress.finish(
          count, try part.access(at: offset, byteCount: count, value: value))
        if part.isAnswered { window.noteAnswer(since: failureCount) }
        if let changes = window.changes, changes.isPending { changes.settle() }
      } catch {
        if error.code == .away {
          part.waitWhileAway()
          return .away
        }
        progress.finish(count, value == nil ? .max : 0)
        if window.isNews(error) {
          onEvent(AddressSpaceEvent(.regionFailed(error), window: window))
        }
      }
    case .handler(let handler):
      guard let result = handler.access(at: offset, byteCount: count, value: value) else {
        return .away
      }
      progress.finish(count, result)
    case .memory(let slot):
      let position = Int(clamping: slot.memoryOffset + offset)
      let result =
        slot.isReadOnly && value != nil
        ? 0 : try? slot.memory.access(at: position, byteCount: count, value: value)
      progress.finish(count, result ?? (value == nil ? .max : 0))
    case .region(let region, let part, _):
      return send(region, part, offset, count, value, &progress)
    }
    return .done
  }

  /// Sends an access, or the first 1, 2, 4 or 8 bytes of it, over a port.
  private func send(
    _ region: IORegionAssignment, _ part: WindowPart?, _ offset: UInt64, _ count: Int,
    _ value: UInt64?, _ progress: inout AccessProgress
  ) -> Piece {
    let count = 1 << (Int.bitWidth - 1 - count.leadingZeroBitCount)
    let command: IORegionCommand =
      if let value {
        .write(
          value, at: offset, byteCount: count, userData: region.userData,
          isPosted: region.postsWrites)
      } else {
        .read(at: offset, byteCount: count, userData: region.userData)
      }
    guard let port = region.port else { return .done }
    switch port.perform(command, &progress.port) {
    case .done(let data):
      if let part { part.counters.note(part.portMechanism) }
      progress.finish(count, value == nil ? data : 0)
    case .interrupted: return .interrupted
    case .failed(let failure):
      portFailed(port, failure)
      let isRepeatable =
        value == nil && part?.isRepeatable(atPortOffset: offset, byteCount: count) ?? false
      guard failure == .closed || isRepeatable else {
        progress.finish(count, value == nil ? .max : 0)
        break
      }
      // It was never sent, or only reads: it exits again, and what lies below answers.
      progress.retries += 1
      if progress.retries > AccessProgress.maximumRetryCount {
        progress.finish(count, value == nil ? .max : 0)
      } else {
        _ = adoptMap(&progress)
      }
    }
    return .done
  }

  // MARK: Whole accesses

  /// Reads 1 to 8 bytes, whatever signals come.
  public func read(
    _ space: GuestSpace = .memory, at address: GuestAddress, byteCount: Int
  ) -> UInt64 {
    finish(.read(space, at: address, byteCount: byteCount))
  }

  /// Writes the low 1 to 8 bytes of `value`, whatever signals come.
  public func write(
    _ value: UInt64, _ space: GuestSpace = .memory, at address: GuestAddress, byteCount: Int
  ) {
    _ = finish(.write(value, space, at: address, byteCount: byteCount))
  }

  private func finish(_ access: GuestAccess) -> UInt64 {
    var progress = AccessProgress()
    while true {
      if case .done(let value) = self.access(access, &progress) { return value }
    }
  }
}
