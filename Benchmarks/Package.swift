// swift-tools-version: 6.1
import Foundation
import PackageDescription

let arch = ProcessInfo.processInfo.environment["MIDTRAIN_ARCH"] ?? "native"

let package = Package(
  name: "Benchmarks",
  dependencies: [.package(name: "midtrain", path: "..")],
  targets: [
    .target(name: "CAllocations"),
    .executableTarget(
      name: "bench", dependencies: ["CAllocations", .product(name: "MidtrainEngine", package: "midtrain")],
      swiftSettings: [.unsafeFlags(["-Xcc", "-march=\(arch)"])]),
  ]
)
