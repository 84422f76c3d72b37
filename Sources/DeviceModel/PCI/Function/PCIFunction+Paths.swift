import VFIOUser

// How parts of the windows are reached, and which loops run them.

extension PCIFunction {
  /// Lets `loop` run the handler of a content of a BAR, however it is reached.
  ///
  /// What else the handler touches belongs to that loop then. A reset of the function touches registers and
  /// memory of the content from the function's loop, while nothing runs on the other.
  /// Only during the device's initialiser.
  /// - Parameters:
  ///   - loop: one of ``makeWorkerLoop(named:)``, or another that outlives the function.
  ///   - isConcurrent: whether later messages of the client are served while one for this content waits.
  /// - Throws: ``PCIHardwareError`` when the BAR declares no content of that name.
  public func setLoop(
    _ loop: EventLoop, for name: String, in bar: Int, isConcurrent: Bool = false
  ) throws(PCIHardwareError) {
    precondition(!isRealised, "loops are set in the device's initialiser")
    let place = ContentPlace(bar: bar, name: name)
    guard contents[place] != nil else {
      throw PCIHardwareError(.badContent, "BAR \(bar) declares no content named \"\(name)\"")
    }
    contents[place]?.isConcurrent = isConcurrent
    guard loop !== self.loop else { return }
    contents[place]?.loop = loop
    if !contentLoops.contains(where: { $0 === loop }) { contentLoops.append(loop) }
  }

  /// Changes how parts of a content wish to be reached.
  ///
  /// In place of what its declaration says, at any time. A client that agreed on `region_changed` is
  /// told and asks again, others see it with their next connection; accesses over what a client
  /// has got already are still served.
  /// - Parameter paths: with offsets from the start of the content.
  /// - Throws: ``PCIHardwareError`` when the BAR declares no content of that name, the paths contradict
  ///   each other, or clients may map it: see ``withholdMapping(of:in:)``.
  public func setPaths(
    of name: String, in bar: Int, _ paths: [RegionPath]
  ) throws(PCIHardwareError) {
    let place = ContentPlace(bar: bar, name: name)
    guard let content = contents[place] else {
      throw PCIHardwareError(.badContent, "BAR \(bar) declares no content named \"\(name)\"")
    }
    let offset = content.declaration.offset
    let isMapped = mappings[bar]?.areas.contains { $0.offset.rawValue == offset } ?? false
    try content.declaration.validate(paths, bar: bar, isWithheld: !isMapped)
    contents[place]?.paths = paths
    services?.setPaths(self.paths(ofBAR: bar), ofRegion: bar)
  }

  /// The paths of all contents of a BAR, with offsets from its start.
  func paths(ofBAR bar: Int) -> [RegionPath] {
    guard let declared = hardware.bars.first(where: { $0.index == bar }) else { return [] }
    return declared.contents.flatMap { content in
      (contents[ContentPlace(bar: bar, name: content.name)]?.paths ?? []).map {
        $0.moved(by: content.offset)
      }
    }
  }
}
