/// A named group of bits within a register.
public struct Field: Sendable {
  /// The field's name, as the hardware's specification spells it.
  public var name: String
  /// The bits it covers, least significant bit 0.
  public var bits: ClosedRange<Int>
  /// What accesses do to these bits; nil takes the register's kind.
  public var access: RegisterAccess?
  /// What the field means: one or more sentences, never empty.
  public var description: String
  /// What single values of the field mean, for the manual.
  public var meanings: KeyValuePairs<UInt64, String>

  /// Declares a field of several bits with an access kind of its own.
  ///
  /// - Parameters:
  ///   - name: its name.
  ///   - bits: the bits it covers, within the register's width.
  ///   - access: what accesses do; nil takes the register's kind.
  ///   - description: what it means; must not be empty.
  ///   - meanings: what single values mean, for the manual.
  public init(
    _ name: String, _ bits: ClosedRange<Int>, _ access: RegisterAccess?, _ description: String,
    meanings: KeyValuePairs<UInt64, String> = [:]
  ) {
    self.name = name
    self.bits = bits
    self.access = access
    self.description = description
    self.meanings = meanings
  }

  /// Declares a field of several bits that are accessed as their register is.
  public init(
    _ name: String, _ bits: ClosedRange<Int>, _ description: String,
    meanings: KeyValuePairs<UInt64, String> = [:]
  ) {
    self.init(name, bits, nil, description, meanings: meanings)
  }

  /// Declares a field of one bit with an access kind of its own.
  public init(
    _ name: String, _ bit: Int, _ access: RegisterAccess?, _ description: String,
    meanings: KeyValuePairs<UInt64, String> = [:]
  ) {
    self.init(name, bit...bit, access, description, meanings: meanings)
  }

  /// Declares a field of one bit that is accessed as its register is.
  public init(
    _ name: String, _ bit: Int, _ description: String,
    meanings: KeyValuePairs<UInt64, String> = [:]
  ) {
    self.init(name, bit...bit, nil, description, meanings: meanings)
  }

  /// The field's bits as a mask; bits outside 0 to 63 are left out.
  public var mask: UInt64 {
    let clamped = bits.clamped(to: 0...63)
    guard bits.overlaps(0...63) else { return 0 }
    return (UInt64.max >> UInt64(63 - (clamped.upperBound - clamped.lowerBound)))
      << UInt64(clamped.lowerBound)
  }
}
