/// The registers of one block: an enumeration with a case for each, in the order of the manual.
///
/// ```swift
/// enum TimerRegister: Int, RegisterMap {
///   case control, count
///   var declaration: Register {
///     switch self {
///     case .control:
///       Register("CTL", "Control", at: 0x0, bytes: 4, .readWrite, effects: .write, "Starts it.")
///     case .count:
///       Register("CNT", "Count", at: 0x4, bytes: 4, .readOnly, effects: .read, "Ticks so far.")
///     }
///   }
/// }
/// ```
///
/// A case without a declaration does not compile. Raw values are those that Swift gives: 0, 1, 2, ...
public protocol RegisterMap: CaseIterable, RawRepresentable, Hashable, Sendable
where RawValue == Int {
  /// What this register is.
  var declaration: Register { get }
}

extension RegisterMap {
  /// The declarations of all registers, in the order of the cases.
  public static var declarations: [Register] { allCases.map(\.declaration) }

  /// The register that an effect is about; to be switched over in the effect closure.
  ///
  /// Traps when the effect comes from a block of another map, which is an error in the device.
  @inlinable
  public init(_ effect: RegisterEffect) {
    guard let register = Self(rawValue: effect.register) else {
      preconditionFailure("the effect comes from another block's registers")
    }
    self = register
  }
}
