// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that whoever uses the library never builds its benchmarks.
let package = Package(
  name: "Benchmarks",
  dependencies: [
    .package(name: "swift-vfio-user", path: ".."),
  ],
  targets: [
    .target(name: "CAllocationCounter"),
    .target(name: "CRingFloor"),
    .target(name: "CPingPong"),
    .executableTarget(
      name: "Benchmarks",
      dependencies: [
        "CAllocationCounter",
        "CRingFloor",
        "CPingPong",
        .product(name: "VFIOUser", package: "swift-vfio-user"),
        .product(name: "DeviceModel", package: "swift-vfio-user"),
        .product(name: "KVMSupport", package: "swift-vfio-user"),
        .product(name: "NVMeDriver", package: "swift-vfio-user"),
      ],
      swiftSettings: [.enableExperimentalFeature("Lifetimes")]),
  ]
)
