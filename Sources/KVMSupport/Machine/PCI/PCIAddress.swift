/// Where a function sits: bus, device and function number.
///
/// Written as `lspci` does, in hexadecimal: `00:03.0`.
public struct PCIAddress: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The bus, 0 to 255.
  public let bus: Int
  /// The device (slot) on the bus, 0 to 31.
  public let device: Int
  /// The function of the device, 0 to 7.
  public let function: Int

  /// Makes an address; nil when a number is out of range.
  public init?(bus: Int = 0, device: Int, function: Int = 0) {
    guard (0...255).contains(bus), (0...31).contains(device), (0...7).contains(function) else {
      return nil
    }
    self.bus = bus
    self.device = device
    self.function = function
  }

  /// Reads `BUS:DEV.FN` in hexadecimal; nil for anything else.
  public init?(_ text: some StringProtocol) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2 else { return nil }
    let place = parts[1].split(separator: ".", omittingEmptySubsequences: false)
    guard place.count == 2, let bus = Self.number(parts[0]), let device = Self.number(place[0]),
      let function = Self.number(place[1])
    else { return nil }
    self.init(bus: bus, device: device, function: function)
  }

  /// The address that a bus, a device and a function number of 8, 5 and 3 bits make.
  init(requester: UInt32) {
    bus = Int(requester >> 8 & 0xff)
    device = Int(requester >> 3 & 0x1f)
    function = Int(requester & 7)
  }

  private static func number(_ text: some StringProtocol) -> Int? {
    guard (1...2).contains(text.utf8.count), text.allSatisfy(\.isHexDigit) else { return nil }
    return Int(text, radix: 16)
  }

  /// The number that identifies it: bus in bits 15 to 8, device in 7 to 3, function in 2 to 0.
  public var requester: UInt32 { UInt32(bus) << 8 | UInt32(device) << 3 | UInt32(function) }

  /// As `lspci` writes it.
  public var description: String {
    func pad(_ number: Int) -> String {
      (number < 16 ? "0" : "") + String(number, radix: 16)
    }
    return "\(pad(bus)):\(pad(device)).\(function)"
  }

  /// By bus, device and function.
  public static func < (left: PCIAddress, right: PCIAddress) -> Bool {
    left.requester < right.requester
  }
}
