import ArgumentParser
import DeviceProgram
import Glibc
import KVMSupport
import VFIOUser

/// `vfio-user run GUEST`: a very small machine with devices of other processes.
struct RunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Run a guest with devices that other processes serve.",
    discussion: """
      GUEST is a flat 32-bit program, which begins at its first byte in protected mode without paging, or, when its \
      name ends with .script, a list of accesses (below). Some programs come along, and their names will do: edu and \
      nvme drive the devices of those names, and nvme-shadow keeps doorbells in memory. Devices sit on PCI bus 0, where the guest finds them by \
      the ports 0xcf8 and 0xcfc; addresses from 0xe0000000 to 0xfebfffff are free for their windows. Port 0x3f8 \
      is a console that prints on standard output. What is written to port 0xf4 ends the guest, and is the exit \
      status. A program finds its CPU's number in EAX, the number of CPUs in EBX and the memory's length in ECX.

      \(AccessScriptText.help)
      """)

  @Option(
    name: .customLong("device"),
    help: ArgumentHelp(
      "A device's socket, and where it goes (00:03.0); the next free slot without. May be repeated.",
      valueName: "path[@bus:dev.fn]"))
  var devices: [String] = []

  @Option(help: ArgumentHelp("The guest's memory: bytes, or with K, M or G.", valueName: "size"))
  var memory = "64M"

  @Option(help: ArgumentHelp("How many CPUs there are.", valueName: "n"))
  var cpus: Int?

  @Option(help: ArgumentHelp("Where a program goes; 0x100000 by default.", valueName: "hex"))
  var address: String?

  @Option(
    help: ArgumentHelp(
      """
      How long a guest waits for a device whose server has ended to be served again; then, and with 0, it reads \
      all ones.
      """,
      valueName: "seconds"))
  var reconnect = 0

  @Flag(help: "Run a script on CPUs in software, without KVM.")
  var software = false

  @Flag(help: "Show how the windows of the devices are reached.")
  var paths = false

  @Flag(help: "Show in the end how often each way was used.")
  var statistics = false

  @Argument(
    help: ArgumentHelp(
      "The program or script: a file, or edu, nvme or nvme-shadow.", valueName: "guest"))
  var guest: String

  func validate() throws {
    _ = try places
    _ = try memoryByteCount
    _ = try loadAddress
    guard cpus.map({ (1...64).contains($0) }) ?? true else {
      throw ValidationError("--cpus takes 1 to 64")
    }
    guard (0...3600).contains(reconnect) else {
      throw ValidationError("--reconnect takes 0 to 3600 seconds")
    }
    if isScript || program != nil, address != nil {
      throw ValidationError(
        "--address is for programs of files, and \(guest) is \(isScript ? "a script" : "none")")
    }
    if software, !isScript {
      throw ValidationError("--software runs scripts, whose names end with .script")
    }
  }

  func run() throws {
    do { try MachineSession(self).run() } catch {
      let code: ProgramError.Code =
        error.code == .badAddress || error.code == .badOption ? .usage : .runtime
      throw ProgramError(code, "run: \(error)\(Self.advice(for: error, isScript))")
    }
  }

  private static func advice(for error: MachineError, _ isScript: Bool) -> String {
    guard error.code == .noHypervisor else { return "" }
    return isScript ? "; --software runs scripts without it" : "; only scripts run without it"
  }

  // MARK: What the options say

  /// What happens when a device's server ends.
  var policy: ReconnectPolicy {
    guard reconnect > 0 else { return .fail }
    var policy = ReconnectPolicy.reconnect(within: .seconds(reconnect))
    // The guest is waiting.
    policy.longestDelay = .milliseconds(100)
    return policy
  }

  /// Whether the guest is a script.
  var isScript: Bool { guest.hasSuffix(".script") }

  /// The program that comes along, where the guest is the name of one. A file is meant by `./edu`.
  var program: GuestProgram? {
    switch guest {
    case "edu": .eduDriver
    case "nvme": .nvmeDriver
    case "nvme-shadow": .nvmeShadowDriver
    default: nil
    }
  }

  /// The devices, and where they go.
  var places: [(path: String, address: PCIAddress?)] {
    get throws {
      try devices.map { device in
        guard let split = device.lastIndex(of: "@") else { return (device, nil) }
        let place = device[device.index(after: split)...]
        guard let address = PCIAddress(place), split > device.startIndex else {
          throw ValidationError(
            "--device \(device): what follows the @ is BUS:DEV.FN in hexadecimal, such as 00:03.0")
        }
        return (String(device[..<split]), address)
      }
    }
  }

  /// The memory's length in bytes.
  var memoryByteCount: UInt64 {
    get throws {
      let units: [Character: UInt64] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30]
      let unit = memory.last.flatMap { units[$0] }
      let digits = unit == nil ? memory[...] : memory.dropLast()
      guard let number = UInt64(digits) else {
        throw ValidationError("--memory takes a number of bytes, with K, M or G for units of 1024")
      }
      let (byteCount, overflow) = number.multipliedReportingOverflow(by: unit ?? 1)
      guard !overflow, (2 << 20...3 << 30).contains(byteCount), byteCount % 4096 == 0 else {
        throw ValidationError("--memory takes 2M to 3G in units of 4K")
      }
      return byteCount
    }
  }

  /// Where a program goes.
  var loadAddress: GuestAddress {
    get throws {
      guard let address else { return GuestImage.defaultAddress }
      let digits = address.hasPrefix("0x") ? address.dropFirst(2) : address[...]
      guard let number = UInt32(digits, radix: 16) else {
        throw ValidationError("--address takes a hexadecimal number of 32 bits")
      }
      return GuestAddress(UInt64(number))
    }
  }
}
