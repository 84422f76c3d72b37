// swift-tools-version: 6.2
import PackageDescription

/// Every target is built the same way: Swift 6 mode, and each use of an unsafe construct marked and explained.
let strict: [SwiftSetting] = [
  .strictMemorySafety(),
  .treatWarning("StrictMemorySafety", as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  // Functions that return a Span need it in the target that declares them.
  .enableExperimentalFeature("Lifetimes"),
]

/// Tests may use unsafe constructs without marking each of them.
let tests: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableExperimentalFeature("Lifetimes"),
]

let package = Package(
  name: "swift-vfio-user",
  products: [
    .library(name: "VFIOUser", targets: ["VFIOUser"]),
    .library(name: "DeviceModel", targets: ["DeviceModel"]),
    .library(name: "IORegionRing", targets: ["IORegionRing"]),
    .library(name: "EmulatedDevices", targets: ["EmulatedDevices"]),
    .library(name: "DeviceProgram", targets: ["DeviceProgram"]),
    .library(name: "BlockStorage", targets: ["BlockStorage"]),
    .library(name: "KVMSupport", targets: ["KVMSupport"]),
    .library(name: "NVMe", targets: ["NVMe"]),
    .library(name: "NVMeDriver", targets: ["NVMeDriver"]),
    .executable(name: "vfio-user", targets: ["vfio-user"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-system", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
  ],
  targets: [
    .target(name: "CVFIOUserLinux"),
    .target(
      name: "VFIOUser",
      dependencies: [
        "CVFIOUserLinux",
        .product(name: "SystemPackage", package: "swift-system"),
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: strict),
    .target(name: "DeviceModel", dependencies: ["VFIOUser"], swiftSettings: strict),
    // Serves ioregionfds with io_uring, for who wants it; liburing is linked statically.
    .target(name: "CIORegionRing", linkerSettings: [.linkedLibrary(":liburing.a")]),
    .target(
      name: "IORegionRing", dependencies: ["CIORegionRing", "VFIOUser"], swiftSettings: strict),
    // The side of the virtual machine monitor. It knows no device.
    .target(name: "CKVMLinux"),
    .target(
      name: "KVMSupport", dependencies: ["CKVMLinux", "CVFIOUserLinux", "VFIOUser"],
      swiftSettings: strict),
    // What the NVMe specification defines, for both ends: no I/O.
    .target(name: "NVMe", swiftSettings: strict),
    // liburing is small, and linked statically: who runs a program built with it needs no library.
    .target(
      name: "CBlockStorageLinux", linkerSettings: [.linkedLibrary(":liburing.a")]),
    // Loads libnbd when it is used; without its header it only says that it is not there.
    .target(name: "CNBD"),
    .target(
      name: "BlockStorage", dependencies: ["VFIOUser", "CBlockStorageLinux", "CNBD"],
      swiftSettings: strict),
    .target(
      name: "NVMeDriver", dependencies: ["CVFIOUserLinux", "VFIOUser", "NVMe"],
      swiftSettings: strict),
    .target(
      name: "EmulatedDevices", dependencies: ["DeviceModel", "BlockStorage", "NVMe"],
      swiftSettings: strict),
    .target(
      name: "DeviceProgram",
      dependencies: [
        "CVFIOUserLinux",
        "BlockStorage",
        "EmulatedDevices",
        "IORegionRing",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "vfio-user",
      dependencies: [
        "CVFIOUserLinux", "EmulatedDevices", "DeviceProgram", "KVMSupport", "NVMeDriver",
      ],
      swiftSettings: strict),
    // The device of the README: a program of one's own.
    .executableTarget(
      name: "Ticker",
      dependencies: ["DeviceModel", "DeviceProgram"],
      path: "Examples/Ticker",
      swiftSettings: strict),
    // A driver of one's own, on the client library alone.
    .executableTarget(
      name: "FirstBlock",
      dependencies: ["NVMe", "VFIOUser"],
      path: "Examples/FirstBlock",
      swiftSettings: strict),
    .testTarget(
      name: "VFIOUserTests", dependencies: ["VFIOUser", "CVFIOUserLinux", "IORegionRing"],
      swiftSettings: tests),
    .testTarget(name: "DeviceModelTests", dependencies: ["DeviceModel"], swiftSettings: strict),
    .testTarget(
      name: "KVMSupportTests",
      dependencies: ["KVMSupport", "DeviceModel", "EmulatedDevices", "BlockStorage"],
      swiftSettings: tests),
    .testTarget(name: "NVMeTests", dependencies: ["NVMe"], swiftSettings: strict),
    .testTarget(name: "BlockStorageTests", dependencies: ["BlockStorage"], swiftSettings: tests),
    .testTarget(
      name: "NVMeDriverTests", dependencies: ["NVMeDriver", "EmulatedDevices", "BlockStorage"],
      swiftSettings: tests),
    .testTarget(
      name: "EmulatedDevicesTests", dependencies: ["EmulatedDevices"], swiftSettings: strict),
    .testTarget(
      name: "ToolTests",
      dependencies: [
        "CVFIOUserLinux", "EmulatedDevices", "DeviceProgram", "NVMeDriver", "vfio-user", "Ticker",
        "FirstBlock",
      ],
      swiftSettings: tests),
  ]
)

// `ONLY=KVMSupportTests,VFIOUserTests swift test` builds these targets and what they depend on: for a shorter
// wait, and for the runs under sanitizers.
if let only = Context.environment["ONLY"] {
  var kept: Set<String> = []
  var wanted = only.split(separator: ",").map(String.init)
  while let name = wanted.popLast() {
    guard kept.insert(name).inserted,
      let target = package.targets.first(where: { $0.name == name })
    else { continue }
    for case .byNameItem(let name, _) in target.dependencies { wanted.append(name) }
  }
  package.targets.removeAll { !kept.contains($0.name) }
  package.products.removeAll { !kept.contains($0.name) }
}
