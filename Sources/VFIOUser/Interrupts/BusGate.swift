/// What the bus lets an interrupt type do as a whole.
public enum BusGate: Sendable, Hashable {
  /// Vectors are delivered.
  case open
  /// Vectors are remembered as pending and delivered when the gate opens (MSI-X function mask, bus
  /// master off).
  case hold
  /// The type is not in use: what is raised is forgotten (MSI-X disabled).
  case closed
}
