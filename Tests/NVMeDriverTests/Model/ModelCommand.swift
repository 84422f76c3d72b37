import NVMe
import NVMeDriver

/// A command of the model-based test, and what should come of it.
struct ModelCommand {
  /// What it does to its namespace.
  enum Effect {
    case none
    case write(Range<Int>, [UInt64])
    case makeUnreadable(Range<Int>)
  }

  /// Where its data lies.
  enum Pointer {
    /// No data.
    case none
    /// PRPs, made by the driver.
    case pages
    /// As the entry has it.
    case raw
  }

  var entry: SubmissionQueueEntry
  /// Index of its namespace in the model.
  var target: Int
  var pointer = Pointer.none
  /// The part of its slot's memory that it moves.
  var data: NVMeBuffer?
  /// The sectors it looks at, in order: all have to be readable, or it fails.
  var sources: [Range<Int>] = []
  /// Whether their bytes end up in `data`.
  var returnsData = false
  /// How it ends if its sources are readable.
  var status = NVMeStatus.success
  var effect = Effect.none
  /// Whether it copies its sources, and says which one it could not read.
  var copies = false

  /// The sectors it changes.
  var changed: Range<Int>? {
    switch effect {
    case .none: nil
    case .write(let sectors, _), .makeUnreadable(let sectors): sectors
    }
  }

  /// For people.
  var text: String {
    "opcode 0x\(String(entry.opcode, radix: 16)) on namespace \(entry.namespaceIdentifier), "
      + "block \(entry.startingBlock), \(entry.blockCount) blocks, "
      + "dwords 10 to 13 \(entry.dword10) \(entry.dword11) \(entry.dword12) \(entry.dword13)"
  }
}

/// The device and its model do not agree.
struct ModelMismatch: Error, CustomStringConvertible {
  var description: String
}

extension ModelCommand {
  /// The command has ended: checks how, and changes the model accordingly.
  func settle(_ end: NVMeCompletion, in model: inout ModelNamespace) throws {
    let readability = sources.reduce(ModelNamespace.Readability.readable) { result, sectors in
      switch (result, model.readability(sectors)) {
      case (.unreadable, _), (_, .unreadable): .unreadable
      case (.unknown, _), (_, .unknown): .unknown
      default: .readable
      }
    }
    if end.status ~= .unrecoveredReadError, !sources.isEmpty {
      guard readability != .readable else {
        throw ModelMismatch(description: "\(text) ended with \(end.status): all is readable")
      }
      return try settleUnreadable(end, in: &model)
    }
    guard readability != .unreadable else {
      throw ModelMismatch(description: "\(text) ended with \(end.status): not all is readable")
    }
    guard end.status ~= status else {
      throw ModelMismatch(description: "\(text) ended with \(end.status), not with \(status)")
    }
    for sectors in sources { model.setReadability(sectors, .readable) }
    if returnsData, let data, status.isSuccess {
      let bytes = try data.read()
      var place = 0
      for sectors in sources {
        let part = Array(bytes[place..<(place + sectors.count * 512)])
        if let problem = model.mismatch(part, sectors) {
          throw ModelMismatch(description: "\(text): \(problem)")
        }
        place += part.count
      }
    }
    apply(to: &model)
  }

  private func settleUnreadable(
    _ end: NVMeCompletion, in model: inout ModelNamespace
  ) throws {
    if sources.count == 1, sources[0].count == model.sectorsPerBlock {
      model.setReadability(sources[0], .unreadable)
    }
    guard copies, case .write(let sectors, let new) = effect else { return }
    let failed = Int(end.result)
    guard sources.indices.contains(failed), model.readability(sources[failed]) != .readable else {
      throw ModelMismatch(
        description: "\(text) says that range \(failed) of \(sources) cannot be read")
    }
    // What comes before the range is copied; the rest may be.
    let done = sources[..<failed].reduce(0) { $0 + $1.count }
    for range in sources[..<failed] {
      guard model.readability(range) != .unreadable else {
        throw ModelMismatch(description: "\(text) says that it has copied \(range)")
      }
      model.setReadability(range, .readable)
    }
    let middle = sectors.lowerBound + done
    model.write(sectors.lowerBound..<middle, Array(new[..<done]))
    model.mayWrite(middle..<sectors.upperBound, Array(new[done...]))
  }

  private func apply(to model: inout ModelNamespace) {
    guard status.isSuccess else { return }
    switch effect {
    case .none: break
    case .write(let sectors, let new): model.write(sectors, new)
    case .makeUnreadable(let sectors): model.setReadability(sectors, .unreadable)
    }
  }

  /// The command was lost: a reset or the end of the connection came first.
  func lose(in model: inout ModelNamespace) {
    guard status.isSuccess else { return }
    switch effect {
    case .none: break
    case .write(let sectors, let new): model.mayWrite(sectors, new)
    case .makeUnreadable(let sectors):
      for sector in sectors where model.readability(sector..<(sector + 1)) == .readable {
        model.setReadability(sector..<(sector + 1), .unknown)
      }
    }
  }
}
