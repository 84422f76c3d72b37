/// The declaration of one register, or of an array of equal ones.
///
/// Everything that can be said about a register is said here, once: from it come the handling of
/// accesses of every width and alignment, reset, the manual, the names in traces and the saved
/// state. The declaration is checked when a ``RegisterBlock`` is realised.
public struct Register: Sendable {
  /// The short name, unique in its block: "CSTS".
  public var acronym: String
  /// The name spelled out: "Controller Status".
  public var name: String
  /// Where it is, in bytes from the start of the block; a multiple of its width, or of 4 when it is
  /// 8 bytes wide.
  public var offset: Int
  /// Its width in bytes: 1, 2, 4 or 8.
  public var byteCount: Int
  /// What accesses do to bits that no field declares otherwise.
  public var access: RegisterAccess
  /// Its value after a reset.
  public var resetValue: UInt64
  /// Which accesses call the block's effect closure.
  public var effects: RegisterEffects
  /// The bank that it is visible in; nil for all.
  public var bank: RegisterBank?
  /// How it repeats; nil for a single register.
  public var array: RegisterArray?
  /// Whether ``AnyRegisterBlock/reset(includingSticky:)`` leaves it alone by default.
  public var survivesReset: Bool
  /// What it does: one or more sentences, never empty.
  public var description: String
  /// Its fields; bits that no field covers behave as ``access`` says.
  public var fields: [Field]

  /// Declares a register.
  ///
  /// - Parameters:
  ///   - acronym: short name, unique in the block.
  ///   - name: name spelled out.
  ///   - offset: bytes from the start of the block.
  ///   - byteCount: width: 1, 2, 4 or 8.
  ///   - access: what reads and writes do.
  ///   - resetValue: the value after a reset, 0 by default.
  ///   - effects: which accesses call the effect closure, none by default.
  ///   - bank: the bank that it is visible in, all by default.
  ///   - array: how it repeats, by default not at all.
  ///   - survivesReset: whether an ordinary reset leaves it alone.
  ///   - description: what it does; must not be empty.
  ///   - fields: its fields.
  public init(
    _ acronym: String, _ name: String, at offset: Int, bytes byteCount: Int,
    _ access: RegisterAccess, reset resetValue: UInt64 = 0, effects: RegisterEffects = .none,
    bank: RegisterBank? = nil, array: RegisterArray? = nil, survivesReset: Bool = false,
    _ description: String, _ fields: [Field] = []
  ) {
    self.acronym = acronym
    self.name = name
    self.offset = offset
    self.byteCount = byteCount
    self.access = access
    self.resetValue = resetValue
    self.effects = effects
    self.bank = bank
    self.array = array
    self.survivesReset = survivesReset
    self.description = description
    self.fields = fields
  }

  /// How many registers this declares.
  public var count: Int { array?.count ?? 1 }

  /// The mask of the bits that exist, from its width.
  public var widthMask: UInt64 {
    byteCount >= 8 ? UInt64.max : (1 << UInt64(max(byteCount, 0) * 8)) - 1
  }

  /// The bits that accesses treat as `kind`, from the register's kind and its fields.
  public func mask(of kind: RegisterAccess) -> UInt64 {
    var mask = access == kind ? widthMask : 0
    for field in fields {
      guard let own = field.access else { continue }
      if own == kind { mask |= field.mask } else { mask &= ~field.mask }
    }
    return mask & widthMask
  }

  /// The acronym of one element: "SQTDBL[3]" in an array, else the acronym alone.
  public func acronym(element: Int) -> String {
    array == nil ? acronym : "\(acronym)[\(element)]"
  }
}
