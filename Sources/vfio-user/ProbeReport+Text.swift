import DeviceModel
import KVMSupport
import VFIOUser

extension ProbeReport {
  /// The report for a terminal; ends with a line break.
  var text: String {
    var lines = ["Socket: \(path)", "Device: \(deviceText)", "Negotiated: \(capabilityText)"]
    lines.append("Regions:")
    for (index, region) in regions.enumerated() {
      let name = "  \(index) \(regionName(index))"
      switch region {
      case .success(let info) where info.byteCount == 0: break
      case .success(let info):
        lines += [name + ": " + text(of: info)] + areas(of: info) + paths(of: index)
      case .failure(let error): lines.append(name + ": " + "\(error)")
      }
    }
    if usesExtensions {
      lines.append(
        "  (mailboxes and posted messages are extensions; --no-extensions shows the paths without)")
    }
    lines.append("Interrupts:")
    for (index, interrupt) in interrupts.enumerated() {
      let name = "  \(index) \(interruptName(index))"
      switch interrupt {
      case .success(let info) where info.count == 0: break
      case .success(let info):
        let flags = info.flags.names
        lines.append(name + ": " + ([String(info.count)] + flags).joined(separator: ", "))
      case .failure(let error): lines.append(name + ": " + "\(error)")
      }
    }
    if case .failure(let error) = configuration {
      lines.append("Configuration space: \(error)")
    }
    var text = lines.joined(separator: "\n") + "\n"
    if let report = configurationReport { text += "Configuration space:\n" + report.text }
    return text
  }

  private var deviceText: String {
    let bus =
      isPCI ? "PCI" : device.flags.contains(.platform) ? "platform" : "of a bus that is not known"
    let reset = device.flags.contains(.reset) ? "resettable" : "not resettable"
    return "\(bus), \(reset), \(device.regionCount) regions, "
      + "\(device.interruptTypeCount) interrupt types"
  }

  private var capabilityText: String {
    capabilities.object.sorted { $0.key < $1.key }
      .map { "\($0.key) \($0.value.text)" }.joined(separator: ", ")
  }

  private func text(of info: RegionInfo) -> String {
    ([byteCountText(info.byteCount)] + info.flags.names).joined(separator: ", ")
  }

  private func areas(of info: RegionInfo) -> [String] {
    info.capabilities.flatMap { capability in
      switch capability {
      case .sparseMap(let areas):
        areas.map { "    mappable at \($0.offset): \(byteCountText($0.byteCount))" }
      case .type(let type): ["    type \(type.type), subtype \(type.subtype)"]
      case .unknown(let identity, let version):
        ["    capability \(identity) of version \(version), which is not known here"]
      }
    }
  }

  /// The path that each part of a region got, and which wishes are not met.
  private func paths(of index: Int) -> [String] {
    switch plans[index] {
    case nil: return []
    case .failure(let error): return ["    paths: \(error)"]
    case .success(let plan):
      let parts = plan.parts.map {
        "    path at \($0.offset): \(byteCountText($0.byteCount)), \($0.path)"
      }
      let events = plan.events.map { event in
        let length = event.byteCount == 0 ? "any length" : byteCountText(UInt64(event.byteCount))
        let value = event.matching.map { ", value 0x" + String($0, radix: 16) } ?? ""
        return "    writes at \(event.offset): \(length)\(value), ioeventfd"
      }
      let fallbacks = plan.fallbacks.map {
        "    not used at \($0.offset): \(byteCountText($0.byteCount)), \($0.wish): \($0.reason)"
      }
      return parts + events + fallbacks
    }
  }

  private func byteCountText(_ byteCount: UInt64) -> String {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] as [(String, UInt64)]
    where byteCount > 0 && byteCount % (1 << shift) == 0 {
      return "\(byteCount >> shift) \(unit)"
    }
    return "\(byteCount) bytes"
  }
}

extension RegionFlags {
  /// The flags that are set, in words.
  var names: [String] {
    [(.read, "read"), (.write, "write"), (.mmap, "mappable")]
      .filter { (flag: RegionFlags, _) in contains(flag) }.map(\.1)
  }
}

extension InterruptFlags {
  /// The flags that are set, in words.
  var names: [String] {
    [
      (.eventfd, "eventfd"), (.maskable, "maskable"), (.automasked, "automasked"),
      (.noresize, "fixed size"),
    ]
    .filter { (flag: InterruptFlags, _) in contains(flag) }.map(\.1)
  }
}
