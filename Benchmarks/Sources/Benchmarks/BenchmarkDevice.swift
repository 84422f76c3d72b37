import DeviceModel
import VFIOUser

enum BenchmarkRegister: Int, RegisterMap {
  case identification, scratch, command

  var declaration: Register {
    switch self {
    case .identification:
      Register("ID", "Identification", at: 0, bytes: 4, .readOnly, reset: 0x600d_cafe, "Constant.")
    case .scratch: Register("SCR", "Scratch", at: 4, bytes: 4, .readWrite, "Holds what is written.")
    case .command:
      Register("CMD", "Command", at: 8, bytes: 4, .readWrite, effects: .write, "Counts writes.")
    }
  }
}

/// A register block behind no bus: what every measured access goes to.
final class BenchmarkDevice: ServedDevice {
  let block: RegisterBlock<BenchmarkRegister>
  var services: DeviceServices?
  var commands = 0

  init() throws {
    block = try RegisterBlock(BenchmarkRegister.self, name: "registers", byteCount: 4096)
    block.effect = { [unowned self] effect in
      if effect.isWrite { self.commands &+= 1 }
    }
  }

  var layout: DeviceLayout {
    DeviceLayout(
      flags: .reset, regions: [RegionLayout(byteCount: 4096, rights: [.read, .write])],
      interrupts: [])
  }

  func region(at index: Int) -> Region? { try? Region(byteCount: 4096, handler: block) }
  func start(_ services: DeviceServices) { self.services = services }
  func reset(_ kind: ResetKind) { block.reset() }
}
