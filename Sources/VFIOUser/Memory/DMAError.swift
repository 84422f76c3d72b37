/// Why a DMA access failed. Nothing of the access took effect, except as its code says.
public struct DMAError: Error, Hashable, CustomStringConvertible {
  /// What went wrong.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private enum Value: String {
      case notMapped, notPermitted, disabled, lost, clientFailed, cancelled, timedOut, unaligned
    }
    private let value: Value
    private init(_ value: Value) { self.value = value }
    /// The code in words.
    public var description: String { value.rawValue }

    /// A byte of the range lies outside every grant of the client.
    public static let notMapped = Code(.notMapped)
    /// The client granted the range without this right.
    public static let notPermitted = Code(.notPermitted)
    /// The bus does not let the device access memory (PCI: bus master is off).
    public static let disabled = Code(.disabled)
    /// The client took the memory away from under the mapping. Part of a write may have happened.
    public static let lost = Code(.lost)
    /// The client refused or garbled the message. Part of a write may have happened.
    public static let clientFailed = Code(.clientFailed)
    /// A reset, an unmap or the end of the connection ended the access. Part of a write may have
    /// happened.
    public static let cancelled = Code(.cancelled)
    /// The client did not answer in time. Part of a write may have happened.
    public static let timedOut = Code(.timedOut)
    /// An access that must be aligned is not.
    public static let unaligned = Code(.unaligned)
  }

  /// What went wrong.
  public let code: Code
  /// Where the access began.
  public let address: DMAAddress
  /// How long the access was, in bytes.
  public let byteCount: Int

  init(_ code: Code, _ address: DMAAddress, _ byteCount: Int) {
    self.code = code
    self.address = address
    self.byteCount = byteCount
  }

  /// The closest error number: `EFAULT`, `EPERM`, `EIO`, `ECANCELED`, `ETIMEDOUT` or `EINVAL`.
  public var errno: Errno {
    switch code {
    case .notMapped: .badAddress
    case .notPermitted, .disabled: .notPermitted
    case .cancelled: .canceled
    case .timedOut: .timedOut
    case .unaligned: .invalidArgument
    default: .ioError
    }
  }

  /// What was tried, and why it failed.
  public var description: String { "DMA of \(byteCount) bytes at \(address): \(code)" }
}
