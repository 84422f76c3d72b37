import VFIOUser

/// A register block as its device sees it: values by register, and the effect closure.
///
/// ```swift
/// let registers = try RegisterBlock<TimerRegister>()
/// registers.effect = { [unowned self] access throws(Errno) in
///   switch TimerRegister(access) {
///   case .control: if access.value & 1 != 0 { start() }
///   case .count: access.value = ticks
///   }
/// }
/// registers[.count] = 7       // no access rule, no effect: this is the hardware's side
/// ```
///
/// Confined to one event loop, as ``AnyRegisterBlock`` is.
public final class RegisterBlock<Map: RegisterMap>: AnyRegisterBlock {
  /// Realises the declarations of `Map`: checks them and lays out the tables.
  ///
  /// - Parameters:
  ///   - map: the registers.
  ///   - name: for error messages and traces; the map's type name by default.
  ///   - byteCount: how many bytes the block spans; by default up to its last register.
  ///   - wideAccess: what happens to an access that reaches beyond one register.
  ///   - smallestAccess: narrower accesses are refused unless they cover a whole register.
  ///   - adjust: changes declarations from knobs, such as a reset value or the length of an array.
  /// - Throws: ``DeclarationError`` naming the first mistake in the declarations.
  public init(
    _ map: Map.Type = Map.self, name: String? = nil, byteCount: Int? = nil,
    wideAccess: WideAccess = .split, smallestAccess: Int = 1,
    adjust: (Map, inout Register) -> Void = { _, _ in }
  ) throws(DeclarationError) {
    let name = name ?? "\(Map.self)"
    var declarations: [Register] = []
    for (number, register) in Map.allCases.enumerated() {
      guard register.rawValue == number else {
        throw DeclarationError("\(name): case \(register) must not set a raw value of its own")
      }
      var declaration = register.declaration
      adjust(register, &declaration)
      declarations.append(declaration)
    }
    let plan = try RegisterPlan(name: name, declarations: declarations, byteCount: byteCount)
    super.init(plan, wideAccess: wideAccess, smallestAccess: smallestAccess)
  }

  /// The value of a register, past access rules and effects: the hardware's own view.
  ///
  /// Bits beyond the register's width are dropped when it is set. Traps for an element outside the
  /// register's array.
  @inlinable
  public subscript(register: Map, element: Int = 0) -> UInt64 {
    get { value(of: register.rawValue, element: element) }
    set { setValue(newValue, of: register.rawValue, element: element) }
  }
}
