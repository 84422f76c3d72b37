/// The Status Field of a completion: code, type, and whether a retry makes sense.
///
/// Source: NVMe 1.4, section 4.6.1, figures 124 to 132.
@frozen
public struct NVMeStatus: RawRepresentable, Hashable, Sendable, Error {
  /// Bits 7:0 Status Code (SC), 10:8 Status Code Type (SCT), 12:11 Command Retry Delay (CRD),
  /// 13 More (M), 14 Do Not Retry (DNR): the Status Field without the phase tag.
  public let rawValue: UInt16

  /// The status with these 15 bits.
  @inlinable
  public init(rawValue: UInt16) { self.rawValue = rawValue & 0x7fff }

  /// The status of a type and a code.
  @inlinable
  public init(type: UInt8, code: UInt8, doNotRetry: Bool = true) {
    rawValue = UInt16(code) | UInt16(type & 7) << 8 | (doNotRetry ? 0x4000 : 0)
  }

  /// Status Code (SC).
  @inlinable public var code: UInt8 { UInt8(truncatingIfNeeded: rawValue) }
  /// Status Code Type (SCT): 0 generic, 1 command specific, 2 media and data integrity.
  @inlinable public var type: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 8) & 7 }
  /// Do Not Retry (DNR).
  @inlinable public var doNotRetry: Bool { rawValue & 0x4000 != 0 }
  /// More (M): the error log says more.
  @inlinable public var hasMore: Bool { rawValue & 0x2000 != 0 }
  /// Whether the command succeeded.
  @inlinable public var isSuccess: Bool { rawValue & 0x7ff == 0 }

  /// The same status with the More bit.
  @inlinable public var withMore: NVMeStatus { NVMeStatus(rawValue: rawValue | 0x2000) }

  /// Whether two statuses have the same type and code.
  @inlinable
  public static func ~= (pattern: NVMeStatus, value: NVMeStatus) -> Bool {
    pattern.rawValue & 0x7ff == value.rawValue & 0x7ff
  }
}
