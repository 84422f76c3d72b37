/// Gets, sets or probes a feature of the device; request and reply have the same form.
///
/// Source: vfio-user specification, `VFIO_USER_DEVICE_FEATURE`.
public struct DeviceFeature: WireMessage {
  /// Which feature.
  public struct Index: RawRepresentable, Hashable, Sendable {
    /// The number on the wire.
    public let rawValue: UInt16

    /// Makes an index from its number on the wire.
    public init(rawValue: UInt16) {
      self.rawValue = rawValue
    }

    /// Which migration states the device has (`VFIO_DEVICE_FEATURE_MIGRATION`).
    public static let migration = Index(rawValue: 1)
    /// The migration state itself (`VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE`).
    public static let migrationDeviceState = Index(rawValue: 2)
    /// Starts the log of written pages (`VFIO_DEVICE_FEATURE_DMA_LOGGING_START`).
    public static let dmaLoggingStart = Index(rawValue: 6)
    /// Stops the log of written pages (`VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP`).
    public static let dmaLoggingStop = Index(rawValue: 7)
    /// Reads and clears the log of written pages (`VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT`).
    public static let dmaLoggingReport = Index(rawValue: 8)
  }

  /// What is done with the feature.
  public struct Methods: OptionSet, Hashable, Sendable {
    /// The bits as they are on the wire.
    public let rawValue: UInt32

    /// Makes methods from the bits on the wire.
    public init(rawValue: UInt32) {
      self.rawValue = rawValue
    }

    /// Get the feature's data.
    public static let get = Methods(rawValue: 1 << 16)
    /// Set the feature's data.
    public static let set = Methods(rawValue: 1 << 17)
    /// Only ask whether the other methods are there.
    public static let probe = Methods(rawValue: 1 << 18)
  }

  /// The command that carries this payload.
  public static let command = Command.deviceFeature
  /// The length of the structure in bytes, data excluded.
  public static let fixedByteCount = 8

  /// The largest reply payload that the client takes, or the length of this reply, in bytes.
  public var argumentSize: UInt32
  /// Which feature.
  public var index: Index
  /// What is done with it.
  public var methods: Methods
  /// The feature's own data, encoded.
  public var data: [UInt8]

  /// Makes a request or a reply; `argumentSize` is the message's own length unless given.
  public init(
    _ index: Index, _ methods: Methods, data: [UInt8] = [], argumentSize: UInt32? = nil
  ) {
    self.index = index
    self.methods = methods
    self.data = data
    self.argumentSize =
      argumentSize ?? UInt32(truncatingIfNeeded: Self.fixedByteCount + data.count)
  }

  /// Decodes a request or a reply.
  ///
  /// Throws when it is too short, `argsz` is below 8, a flag is unknown, no method is named, or get
  /// and set exclude each other because it is no probe.
  public init(decoding payload: RawSpan) throws(WireError) {
    argumentSize = try decodeQuery(payload, fixedByteCount: Self.fixedByteCount)
    let flags: UInt32 = try payload.load(at: 4)
    index = Index(rawValue: UInt16(truncatingIfNeeded: flags))
    methods = Methods(rawValue: flags & ~0xffff)
    guard flags & ~0x7_ffff == 0 else {
      throw WireError(.badFlags, "DEVICE_FEATURE has unknown flags")
    }
    guard !methods.isEmpty else { throw WireError(.badFlags, "DEVICE_FEATURE names no method") }
    guard methods.contains(.probe) || !methods.isSuperset(of: [.get, .set]) else {
      throw WireError(.badFlags, "DEVICE_FEATURE cannot get and set at once")
    }
    data = [UInt8](copying: try payload.slice(from: Self.fixedByteCount))
  }

  /// The length of the encoded payload in bytes.
  public var encodedByteCount: Int { Self.fixedByteCount + data.count }

  /// Writes the payload into `bytes` at `offset`; throws `truncated` when it does not fit.
  public func encode(into bytes: inout MutableRawSpan, at offset: Int) throws(WireError) {
    try bytes.store(argumentSize, at: offset)
    try bytes.store(methods.rawValue | UInt32(index.rawValue), at: offset + 4)
    try bytes.store(bytes: data.rawSpan, at: offset + Self.fixedByteCount)
  }
}
