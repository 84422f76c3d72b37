import VFIOUser

/// Something that lies in a BAR: registers, memory, or a window that the device answers itself.
public struct BARContent: Sendable {
  /// What it is called in the manual and when the device asks for it; unique within its BAR.
  public let name: String
  /// Where it starts, in bytes from the start of the BAR.
  public let offset: UInt64
  /// Its size in bytes.
  public let byteCount: UInt64
  /// What it is for, in one sentence or more.
  public let summary: String
  /// What holds for the content as a whole, for the manual; may be empty.
  public var notes: String = ""
  let kind: Kind
  /// How parts of it wish to be reached, with offsets from its own start; messages for the rest.
  public private(set) var paths: [RegionPath] = []

  enum Kind: Sendable {
    case registers(@Sendable () throws(DeclarationError) -> AnyRegisterBlock)
    case memory
    case sharedMemory
    case readOnlyMemory([UInt8])
    case handler
  }

  /// The registers of a map. The device finds the block with ``PCIFunction/registers(_:in:)``.
  ///
  /// - Parameters:
  ///   - map: the registers.
  ///   - offset: where the block starts, in bytes from the start of the BAR.
  ///   - byteCount: how many bytes it spans; by default up to its last register.
  ///   - name: what to call it; the map's name by default.
  ///   - wideAccess: what happens to an access that reaches beyond one register.
  ///   - smallestAccess: narrower accesses are refused unless they cover a whole register.
  ///   - notes: what holds for the block as a whole, for the manual, such as the widths it takes.
  ///   - adjust: changes declarations from knobs, such as a reset value or the length of an array.
  /// - Throws: ``DeclarationError`` when the registers are declared wrongly.
  public static func registers<Map: RegisterMap>(
    _ map: Map.Type, at offset: UInt64 = 0, byteCount: Int? = nil, name: String? = nil,
    wideAccess: WideAccess = .split, smallestAccess: Int = 1, notes: String = "",
    adjust: @escaping @Sendable (Map, inout Register) -> Void = { _, _ in }
  ) throws(DeclarationError) -> BARContent {
    let name = name ?? "\(Map.self)"
    let make: @Sendable () throws(DeclarationError) -> AnyRegisterBlock = {
      () throws(DeclarationError) in
      try RegisterBlock(
        map, name: name, byteCount: byteCount, wideAccess: wideAccess,
        smallestAccess: smallestAccess, adjust: adjust)
    }
    // Realised once here, so that a mistake is found with the declaration, and for its size.
    let size = try make().byteCount
    return BARContent(
      name: name, offset: offset, byteCount: UInt64(size), summary: "Registers.", notes: notes,
      kind: .registers(make))
  }

  /// Plain memory, zero after power-on, that the driver and the device both read and write.
  ///
  /// The device reaches it with ``PCIFunction/memory(_:in:)``.
  public static func memory(
    _ name: String, at offset: UInt64 = 0, byteCount: UInt64, _ summary: String
  ) -> BARContent {
    BARContent(name: name, offset: offset, byteCount: byteCount, summary: summary, kind: .memory)
  }

  /// Memory, zero after power-on, that a client may map and then reach without messages: doorbells,
  /// frame buffers.
  ///
  /// The device reaches it with ``PCIFunction/sharedMemory(_:in:)`` and may poll it.
  /// - Parameters:
  ///   - offset: a multiple of 4096.
  ///   - byteCount: a multiple of 4096.
  public static func sharedMemory(
    _ name: String, at offset: UInt64 = 0, byteCount: UInt64, _ summary: String
  ) -> BARContent {
    BARContent(
      name: name, offset: offset, byteCount: byteCount, summary: summary, kind: .sharedMemory)
  }

  /// Memory that the driver can only read.
  public static func readOnlyMemory(
    _ name: String, at offset: UInt64 = 0, content: [UInt8], _ summary: String
  ) -> BARContent {
    BARContent(
      name: name, offset: offset, byteCount: UInt64(content.count), summary: summary,
      kind: .readOnlyMemory(content))
  }

  /// A window whose accesses the device answers itself.
  ///
  /// Its initialiser must give the handler to ``PCIFunction/setHandler(_:for:in:)``.
  public static func handler(
    _ name: String, at offset: UInt64 = 0, byteCount: UInt64, _ summary: String
  ) -> BARContent {
    BARContent(name: name, offset: offset, byteCount: byteCount, summary: summary, kind: .handler)
  }

  // MARK: - Paths

  /// The content, which wishes to be reached as a whole by `kind`.
  ///
  /// A client that cannot do it sends messages; the same handler answers on the same loop.
  /// - Parameter group: ioregionfds of a BAR with the same number share one descriptor, and so one
  ///   access in flight.
  public func reached(by kind: RegionPath.Kind, group: Int = 0) -> BARContent {
    reached(by: kind, at: 0, byteCount: byteCount, group: group)
  }

  /// The content, a part of which wishes to be reached by `kind`; see ``reached(by:group:)``.
  ///
  /// - Parameters:
  ///   - offset: where the part starts, in bytes from the start of the content.
  ///   - byteCount: its length in bytes; for an ioeventfd the size of the writes: 1, 2, 4 or 8, or 0
  ///     when it does not matter.
  ///   - group: which ioregionfds share a descriptor.
  public func reached(
    by kind: RegionPath.Kind, at offset: UInt64, byteCount: UInt64, group: Int = 0
  ) -> BARContent {
    var copy = self
    copy.paths.append(
      RegionPath(
        offset: RegionOffset(offset), byteCount: byteCount, kind: kind, descriptorGroup: group))
    return copy
  }
}
