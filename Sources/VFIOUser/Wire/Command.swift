/// A command of the protocol: what a message asks for.
///
/// It is a structure, because a peer may send any number and because commands can be added.
/// Source: vfio-user specification, section "Commands".
public struct Command: RawRepresentable, Hashable, Sendable {
  /// Who sends the command.
  public enum Direction: Sendable {
    /// The client asks, the server answers.
    case clientToServer
    /// The server asks, the client answers.
    case serverToClient
  }

  /// The number on the wire.
  public let rawValue: UInt16

  /// Makes a command from its number on the wire.
  @inline(__always)
  public init(rawValue: UInt16) {
    self.rawValue = rawValue
  }

  /// Negotiates version and capabilities (`VFIO_USER_VERSION`).
  public static let version = Command(rawValue: 1)
  /// Makes a range of client memory available (`VFIO_USER_DMA_MAP`).
  public static let dmaMap = Command(rawValue: 2)
  /// Withdraws a range of client memory (`VFIO_USER_DMA_UNMAP`).
  public static let dmaUnmap = Command(rawValue: 3)
  /// Asks for the device's kind and counts (`VFIO_USER_DEVICE_GET_INFO`).
  public static let deviceGetInfo = Command(rawValue: 4)
  /// Asks about one region (`VFIO_USER_DEVICE_GET_REGION_INFO`).
  public static let deviceGetRegionInfo = Command(rawValue: 5)
  /// Asks for a region's I/O descriptors (`VFIO_USER_DEVICE_GET_REGION_IO_FDS`).
  public static let deviceGetRegionIODescriptors = Command(rawValue: 6)
  /// Asks about one interrupt type (`VFIO_USER_DEVICE_GET_IRQ_INFO`).
  public static let deviceGetIRQInfo = Command(rawValue: 7)
  /// Configures, masks or triggers interrupts (`VFIO_USER_DEVICE_SET_IRQS`).
  public static let deviceSetIRQs = Command(rawValue: 8)
  /// Reads from a region (`VFIO_USER_REGION_READ`).
  public static let regionRead = Command(rawValue: 9)
  /// Writes to a region (`VFIO_USER_REGION_WRITE`).
  public static let regionWrite = Command(rawValue: 10)
  /// Reads client memory (`VFIO_USER_DMA_READ`).
  public static let dmaRead = Command(rawValue: 11)
  /// Writes client memory (`VFIO_USER_DMA_WRITE`).
  public static let dmaWrite = Command(rawValue: 12)
  /// Resets the device (`VFIO_USER_DEVICE_RESET`).
  public static let deviceReset = Command(rawValue: 13)
  /// Writes to regions several times in one message (`VFIO_USER_REGION_WRITE_MULTI`).
  public static let regionWriteMulti = Command(rawValue: 15)
  /// Gets, sets or probes a device feature (`VFIO_USER_DEVICE_FEATURE`).
  public static let deviceFeature = Command(rawValue: 16)
  /// Reads migration data (`VFIO_USER_MIG_DATA_READ`).
  public static let migrationDataRead = Command(rawValue: 17)
  /// Writes migration data (`VFIO_USER_MIG_DATA_WRITE`).
  public static let migrationDataWrite = Command(rawValue: 18)

  /// The first number that extensions of this package use; they are sent only when negotiated.
  public static let firstExtension = Command(rawValue: 0x8000)
  /// Extension `region_changed`, from the server, without a reply: the region (4 bytes, and 4 that are
  /// zero) has to be asked about again.
  public static let regionChanged = Command(rawValue: 0x8000)

  /// Every command of the specification, in the order of their numbers.
  public static let all: [Command] = [
    .version, .dmaMap, .dmaUnmap, .deviceGetInfo, .deviceGetRegionInfo,
    .deviceGetRegionIODescriptors, .deviceGetIRQInfo, .deviceSetIRQs, .regionRead, .regionWrite,
    .dmaRead, .dmaWrite, .deviceReset, .regionWriteMulti, .deviceFeature, .migrationDataRead,
    .migrationDataWrite,
  ]

  /// Who sends the command, or nil when the specification does not know it.
  public var direction: Direction? {
    switch rawValue {
    case 11, 12: .serverToClient
    case 1...10, 13, 15...18: .clientToServer
    default: nil
    }
  }
}

extension Command: CustomStringConvertible {
  /// The specification's name without its prefix, for logs.
  public var description: String {
    switch self {
    case .version: "VERSION"
    case .dmaMap: "DMA_MAP"
    case .dmaUnmap: "DMA_UNMAP"
    case .deviceGetInfo: "DEVICE_GET_INFO"
    case .deviceGetRegionInfo: "DEVICE_GET_REGION_INFO"
    case .deviceGetRegionIODescriptors: "DEVICE_GET_REGION_IO_FDS"
    case .deviceGetIRQInfo: "DEVICE_GET_IRQ_INFO"
    case .deviceSetIRQs: "DEVICE_SET_IRQS"
    case .regionRead: "REGION_READ"
    case .regionWrite: "REGION_WRITE"
    case .dmaRead: "DMA_READ"
    case .dmaWrite: "DMA_WRITE"
    case .deviceReset: "DEVICE_RESET"
    case .regionWriteMulti: "REGION_WRITE_MULTI"
    case .deviceFeature: "DEVICE_FEATURE"
    case .migrationDataRead: "MIG_DATA_READ"
    case .migrationDataWrite: "MIG_DATA_WRITE"
    case .regionChanged: "REGION_CHANGED"
    default: "command \(rawValue)"
    }
  }
}
