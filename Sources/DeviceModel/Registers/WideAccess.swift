/// What a register block does with an access that reaches beyond the register it starts in.
public enum WideAccess: Sendable, Hashable {
  /// Each register it touches is handled by itself, in ascending order; undeclared bytes read 0 and
  /// ignore writes. When one register's effect fails, those before it have taken place.
  case split
  /// The access is refused with `Errno.invalidArgument` and changes nothing. An access that touches
  /// no declared register reads 0 and ignores writes, as with ``split``.
  case refuse
}
