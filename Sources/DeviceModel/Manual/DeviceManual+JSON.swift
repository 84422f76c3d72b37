public import enum VFIOUser.JSONValue

extension DeviceManual {
  /// The manual for programs: numbers as numbers, arrays in the order of the declarations.
  public var json: JSONValue {
    .object([
      "name": .string(name),
      "summary": .string(summary),
      "sections": .array(sections.map(\.json)),
      "knobs": .array(knobs.map(\.json)),
      "backends": .array(
        backends.map {
          .object(["form": .string($0.form), "description": .string($0.description)])
        }),
      "registers": .array(registers.map(\.json)),
    ])
  }
}

extension ManualSection {
  fileprivate var json: JSONValue {
    .object([
      "title": .string(title),
      "facts": .array(
        facts.map { .object(["label": .string($0.label), "value": .string($0.value)]) }),
      "columns": .array(columns.map(JSONValue.string)),
      "rows": .array(rows.map { .array($0.map(JSONValue.string)) }),
      "notes": .array(notes.map(JSONValue.string)),
    ])
  }
}

extension KnobDeclaration {
  fileprivate var json: JSONValue {
    var object: [String: JSONValue] = [
      "name": .string(name), "type": .string(type.name), "default": defaultKnobValue.json,
      "description": .string(description),
    ]
    switch type {
    case .integer(let range), .byteCount(let range):
      object["minimum"] = .integer(Int64(range.lowerBound))
      object["maximum"] = .integer(Int64(range.upperBound))
    case .choice(let words): object["choices"] = .array(words.map(JSONValue.string))
    case .boolean, .text: break
    }
    return .object(object)
  }
}

extension KnobValue {
  fileprivate var json: JSONValue {
    switch self {
    case .boolean(let value): .bool(value)
    case .integer(let value): .integer(Int64(value))
    case .text(let value): .string(value)
    }
  }
}

extension RegisterSheet {
  fileprivate var json: JSONValue {
    .object([
      "location": .string(location), "byteCount": .integer(Int64(byteCount)),
      "notes": .string(notes), "registers": .array(registers.map(\.json)),
    ])
  }
}

extension Register {
  fileprivate var json: JSONValue {
    var object: [String: JSONValue] = [
      "acronym": .string(acronym), "name": .string(name), "offset": .integer(Int64(offset)),
      "byteCount": .integer(Int64(byteCount)), "access": .string(access.abbreviation),
      "reset": JSONValue(resetValue), "description": .string(description),
      "fields": .array(shownFields.map { $0.json(in: self) }),
    ]
    if let array {
      object["count"] = .integer(Int64(array.count))
      object["stride"] = .integer(Int64(array.strideByteCount))
    }
    if let bank {
      object["bank"] = .integer(Int64(bank.index))
      object["visibleWhile"] = .string(bank.condition)
    }
    if survivesReset { object["survivesReset"] = .bool(true) }
    return .object(object)
  }
}

extension Field {
  fileprivate func json(in register: Register) -> JSONValue {
    var object: [String: JSONValue] = [
      "name": .string(name), "lowBit": .integer(Int64(bits.lowerBound)),
      "highBit": .integer(Int64(bits.upperBound)),
      "access": .string((access ?? register.access).abbreviation),
      "description": .string(description),
    ]
    if !meanings.isEmpty {
      object["meanings"] = .array(
        meanings.map { .object(["value": JSONValue($0.key), "meaning": .string($0.value)]) })
    }
    return .object(object)
  }
}
