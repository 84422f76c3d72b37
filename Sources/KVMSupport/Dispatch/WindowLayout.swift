import VFIOUser

/// A plan at work: the parts of a window, in order. Immutable.
final class WindowLayout: Sendable {
  let parts: [WindowPart]
  let events: [RegionEvent]
  let fallbacks: [RegionFallback]

  init(
    _ plan: RegionPlan, _ region: any DeviceRegion, _ intercepts: [RegionWindow.Intercept]
  ) {
    let plan = plan.leaving(intercepts.map(\.range))
    parts = plan.parts.map { part in
      guard part.path == .monitor else { return WindowPart(part, region) }
      // A part is the monitor's because of exactly one intercept: the last that has its first byte.
      let start = part.offset.rawValue
      let intercept = intercepts.last { $0.range.contains(start) }
      return WindowPart(
        part, region, handler: intercept?.handler,
        handlerOffset: start - (intercept?.range.lowerBound ?? start))
    }
    events = plan.events
    fallbacks = plan.fallbacks
  }

  /// The part that has a byte of the region.
  func part(at offset: UInt64) -> WindowPart? {
    let index = parts.firstIndex(from: { $0.part.end > offset })
    return index < parts.count ? parts[index] : nil
  }
}
