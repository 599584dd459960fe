// swift-tools-version: 6.1
import Foundation
import PackageDescription

let arch = ProcessInfo.processInfo.environment["MIDTRAIN_ARCH"] ?? "native"

let package = Package(
  name: "Benchmarks",
  dependencies: [.package(name: "midtrain", path: "..")],
  targets: [
    .executableTarget(
      name: "bench", dependencies: [.product(name: "MidtrainEngine", package: "midtrain")],
      swiftSettings: [.unsafeFlags(["-Xcc", "-march=\(arch)"])])
  ]
)
