import DeviceModel
import KVMSupport
import VFIOUser

extension ProbeReport {
  /// The report for programs.
  var json: JSONValue {
    var object: [String: JSONValue] = [
      "path": .string(path),
      "device": .object([
        "pci": .bool(isPCI), "platform": .bool(device.flags.contains(.platform)),
        "resettable": .bool(device.flags.contains(.reset)),
        "region_count": JSONValue(UInt64(device.regionCount)),
        "interrupt_type_count": JSONValue(UInt64(device.interruptTypeCount)),
      ]),
      "capabilities": .object(capabilities.object),
      "uses_extensions": .bool(usesExtensions),
      "regions": .array(regions.enumerated().map(json(region:_:))),
      "interrupts": .array(interrupts.enumerated().map(json(interrupt:_:))),
    ]
    switch configuration {
    case .success(let bytes):
      object["configuration"] = .object([
        "bytes": .string(bytes.map { hexadecimal($0) }.joined()),
        "sections": configurationReport?.json ?? .null,
      ])
    case .failure(let error):
      object["configuration"] = .object(["error": .string("\(error)")])
    case nil: break
    }
    return .object(object)
  }

  private func json(region index: Int, _ answer: Answer<RegionInfo>) -> JSONValue {
    var object: [String: JSONValue] = [
      "index": .integer(Int64(index)), "name": .string(regionName(index)),
    ]
    switch answer {
    case .failure(let error): object["error"] = .string("\(error)")
    case .success(let info):
      object["byte_count"] = JSONValue(info.byteCount)
      object["flags"] = .array(info.flags.names.map(JSONValue.string))
      object["paths"] = plans[index].map(json(plan:))
      for capability in info.capabilities {
        switch capability {
        case .sparseMap(let areas):
          object["mappable_areas"] = .array(
            areas.map {
              .object([
                "offset": JSONValue($0.offset.rawValue), "byte_count": JSONValue($0.byteCount),
              ])
            })
        case .type(let type):
          object["type"] = .object([
            "type": JSONValue(UInt64(type.type)), "subtype": JSONValue(UInt64(type.subtype)),
          ])
        case .unknown: break
        }
      }
    }
    return .object(object)
  }

  private func json(plan answer: Answer<RegionPlan>) -> JSONValue {
    switch answer {
    case .failure(let error): return .object(["error": .string("\(error)")])
    case .success(let plan):
      return .object([
        "parts": .array(
          plan.parts.map {
            .object([
              "offset": JSONValue($0.offset.rawValue), "byte_count": JSONValue($0.byteCount),
              "path": .string($0.path.description),
            ])
          }),
        "events": .array(
          plan.events.map {
            .object([
              "offset": JSONValue($0.offset.rawValue),
              "byte_count": .integer(Int64($0.byteCount)),
              "matching": $0.matching.map(JSONValue.init) ?? .null,
            ])
          }),
        "fallbacks": .array(
          plan.fallbacks.map {
            .object([
              "offset": JSONValue($0.offset.rawValue), "byte_count": JSONValue($0.byteCount),
              "wish": .string($0.wish), "errno": .integer(Int64($0.errno.rawValue)),
              "reason": .string($0.reason),
            ])
          }),
      ])
    }
  }

  private func json(interrupt index: Int, _ answer: Answer<IRQInfo>) -> JSONValue {
    var object: [String: JSONValue] = [
      "index": .integer(Int64(index)), "name": .string(interruptName(index)),
    ]
    switch answer {
    case .failure(let error): object["error"] = .string("\(error)")
    case .success(let info):
      object["count"] = JSONValue(UInt64(info.count))
      object["flags"] = .array(info.flags.names.map(JSONValue.string))
    }
    return .object(object)
  }

  private func hexadecimal(_ byte: UInt8) -> String {
    (byte < 16 ? "0" : "") + String(byte, radix: 16)
  }
}
