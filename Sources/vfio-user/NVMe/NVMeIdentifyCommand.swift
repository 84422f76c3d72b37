import ArgumentParser
import NVMe
import NVMeDriver
import VFIOUser

/// `vfio-user nvme identify PATH`: what a controller and its namespaces are.
struct NVMeIdentifyCommand: ParsableCommand {
  enum Format: String, ExpressibleByArgument, CaseIterable {
    case text
    case json
  }

  static let configuration = CommandConfiguration(
    commandName: "identify", abstract: "Show a controller and its namespaces.")

  @OptionGroup var target: NVMeTarget
  @Option(help: "How to print it: text or json.") var format: Format = .text

  func run() throws {
    let controller = try target.attach()
    defer { controller.close() }
    let (identity, health, namespaces) = try NVMeTarget.reporting {
      () throws(NVMeDriverError) in
      let health = HealthLog(try controller.log(.health, byteCount: HealthLog.byteCount))
      var found: [NVMeNamespaceInfo] = []
      for identifier in try controller.namespaces() {
        found.append(try controller.namespace(identifier))
      }
      return (controller.identity, health, found)
    }
    switch format {
    case .text: printText(controller, identity, health, namespaces)
    case .json: print(json(controller, identity, health, namespaces).text)
    }
  }

  private func printText(
    _ controller: NVMeController, _ identity: IdentifyController, _ health: HealthLog,
    _ namespaces: [NVMeNamespaceInfo]
  ) {
    let version = identity.version
    print(
      """
      Controller
        Model: \(identity.modelNumber)
        Serial number: \(identity.serialNumber)
        Firmware: \(identity.firmwareRevision)
        Version: \(version >> 16).\(version >> 8 & 0xff).\(version & 0xff)
        Queues: up to \(controller.capabilities.maximumQueueEntryCount) entries
        Transfers: up to \(transferText(identity.maximumTransferShift))
        Doorbells: \(controller.mapsDoorbells ? "mapped" : "by messages")
        Volatile write cache: \(identity.volatileWriteCache & 1 != 0 ? "yes" : "no")
        Read: \(health.hostReadCommands) commands, written: \(health.hostWriteCommands) commands
        Media errors: \(health.mediaErrors), logged errors: \(health.errorLogEntries)
      """)
    for namespace in namespaces {
      print(
        """
        Namespace \(namespace.identifier)
          Size: \(namespace.blockCount) blocks of \(namespace.blockByteCount) bytes
          EUI64: \(identifier(namespace.data.extendedUniqueIdentifier))
          Write protected: \(namespace.data.attributes & 1 != 0 ? "yes" : "no")
        """)
    }
  }

  /// All 16 digits, as other tools print them.
  private func identifier(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  private func transferText(_ shift: UInt8) -> String {
    shift == 0 ? "any size" : "\(4 << Int(shift)) KiB"
  }

  private func json(
    _ controller: NVMeController, _ identity: IdentifyController, _ health: HealthLog,
    _ namespaces: [NVMeNamespaceInfo]
  ) -> JSONValue {
    .object([
      "model": .string(identity.modelNumber),
      "serial": .string(identity.serialNumber),
      "firmware": .string(identity.firmwareRevision),
      "version": number(UInt64(identity.version)),
      "maximum_queue_entries": number(UInt64(controller.capabilities.maximumQueueEntryCount)),
      "mapped_doorbells": .bool(controller.mapsDoorbells),
      "read_commands": number(health.hostReadCommands),
      "write_commands": number(health.hostWriteCommands),
      "namespaces": .array(namespaces.map(json)),
    ])
  }

  private func json(_ namespace: NVMeNamespaceInfo) -> JSONValue {
    .object([
      "id": number(UInt64(namespace.identifier)),
      "blocks": number(namespace.blockCount),
      "block_bytes": number(UInt64(namespace.blockByteCount)),
    ])
  }

  private func number(_ value: UInt64) -> JSONValue { .integer(Int64(clamping: value)) }
}
