/// The first message of a connection, and its reply.
///
/// Source: vfio-user specification, `VFIO_USER_VERSION`.
public struct VersionMessage: WireMessage {
  /// The command that carries this payload.
  public static let command = Command.version
  /// The length in bytes of the part before the text.
  public static let fixedByteCount = 4
  /// The major version that this package speaks.
  public static let supportedMajor: UInt16 = 0
  /// The highest minor version that this package speaks.
  public static let supportedMinor: UInt16 = 1

  /// Incompatible versions have different majors.
  public var major: UInt16
  /// Compatible versions have different minors.
  public var minor: UInt16
  /// What the sender can do; nil when the message has no text at all.
  public var capabilities: Capabilities?
  /// How long the payload was on the wire, in bytes; nil in a message that was not decoded.
  public private(set) var receivedByteCount: Int?

  /// Makes a message; without capabilities it has no text.
  public init(
    major: UInt16 = supportedMajor, minor: UInt16 = supportedMinor, capabilities: Capabilities?
  ) {
    self.major = major
    self.minor = minor
    self.capabilities = capabilities
  }

  /// Decodes a message; unknown names in the text are ignored.
  ///
  /// Throws when it is shorter than 4 bytes, the text does not end with its only NUL, is not a JSON
  /// object, or has a capability of the wrong type.
  public init(decoding payload: RawSpan) throws(WireError) {
    major = try payload.load(at: 0)
    minor = try payload.load(at: 2)
    receivedByteCount = payload.byteCount
    guard payload.byteCount > Self.fixedByteCount else { return }
    guard payload.byteCount <= JSONParser.maximumByteCount else {
      throw WireError(.oversized, "the version data is longer than 64 KiB")
    }
    var text = [UInt8](copying: try payload.slice(from: Self.fixedByteCount))
    guard text.last == 0 else { throw WireError(.badJSON, "the version data has no NUL") }
    text.removeLast()
    guard let object = try JSONParser.parse(text).objectValue else {
      throw WireError(.badJSON, "the version data is no JSON object")
    }
    switch object["capabilities"] {
    case nil: capabilities = Capabilities()
    case .object(let members): capabilities = try Capabilities(members)
    default: throw WireError(.badJSON, "the capabilities are no JSON object")
    }
  }

  /// The text with its NUL, or nothing when there are no capabilities.
  private var text: [UInt8] {
    guard let capabilities else { return [] }
    let members = capabilities.object
    let document: [String: JSONValue] = members.isEmpty ? [:] : ["capabilities": .object(members)]
    return Array(JSONValue.object(document).text.utf8) + [0]
  }

  /// The length of the encoded payload in bytes.
  public var encodedByteCount: Int { Self.fixedByteCount + text.count }

  /// Writes the payload into `bytes` at `offset`; throws `truncated` when it does not fit.
  public func encode(into bytes: inout MutableRawSpan, at offset: Int) throws(WireError) {
    try bytes.store(major, at: offset)
    try bytes.store(minor, at: offset + 2)
    try bytes.store(bytes: text.rawSpan, at: offset + Self.fixedByteCount)
  }

  /// Two messages are equal when they say the same, however they were spelled.
  public static func == (left: VersionMessage, right: VersionMessage) -> Bool {
    left.major == right.major && left.minor == right.minor
      && left.capabilities == right.capabilities
  }
}
