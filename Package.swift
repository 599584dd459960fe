// swift-tools-version: 6.1
import Foundation
import PackageDescription

// The build is for the machine it runs on: `-Xcc -march=native` also sets Swift's own code generation.
// MIDTRAIN_ARCH=x86-64-v3 (any name that clang's -march knows) builds for another one.
let arch = ProcessInfo.processInfo.environment["MIDTRAIN_ARCH"] ?? "native"
let native: [SwiftSetting] = [.unsafeFlags(["-Xcc", "-march=\(arch)"])]

// A debug build of the vector loops is a hundred times slower, so kernels are optimised in every configuration.
let kernels: [SwiftSetting] = native + [.unsafeFlags(["-O", "-wmo"])]

let package = Package(
  name: "midtrain",
  products: [
    .executable(name: "midtrain", targets: ["midtrain"]),
    .library(name: "MidtrainEngine", targets: ["Kernels", "Tensor", "Model", "Train"]),
  ],
  targets: [
    .systemLibrary(name: "COpenBLAS", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(name: "CIntrinsics"),
    .systemLibrary(name: "CReadline", providers: [.apt(["libreadline-dev"])]),
    .target(name: "CLua", linkerSettings: [.linkedLibrary("lua5.4")]),

    .target(name: "Kernels", dependencies: ["COpenBLAS", "CIntrinsics"], swiftSettings: kernels),
    .target(name: "Tensor", dependencies: ["Kernels"], swiftSettings: native),
    .target(name: "Text", swiftSettings: native),
    .target(name: "Model", dependencies: ["Tensor", "Kernels"], swiftSettings: native),
    .target(name: "Train", dependencies: ["Model", "Tensor", "Text"], swiftSettings: native),
    .target(
      name: "Script", dependencies: ["CLua", "Train", "Model", "Tensor", "Text", "Kernels"],
      swiftSettings: native),
    .executableTarget(
      name: "midtrain", dependencies: ["Script", "Text", "CReadline"], swiftSettings: native),

    .target(
      name: "TestSupport", dependencies: ["Model"], path: "Tests/TestSupport", swiftSettings: native),
    .testTarget(name: "KernelsTests", dependencies: ["TestSupport", "Kernels"], swiftSettings: native),
    .testTarget(
      name: "TensorTests", dependencies: ["TestSupport", "Tensor", "Kernels"], swiftSettings: native),
    .testTarget(name: "TextTests", dependencies: ["TestSupport", "Text"], swiftSettings: native),
    .testTarget(
      name: "ModelTests", dependencies: ["TestSupport", "Model", "Tensor", "Kernels"], swiftSettings: native),
    .testTarget(
      name: "TrainTests", dependencies: ["TestSupport", "Train", "Model", "Tensor", "Text"],
      swiftSettings: native),
    .testTarget(
      name: "FuzzTests", dependencies: ["TestSupport", "Train", "Model", "Tensor", "Text"],
      swiftSettings: native),
    .testTarget(name: "ScriptTests", dependencies: ["Script", "CLua"], swiftSettings: native),
    .testTarget(
      name: "midtrainTests", dependencies: ["TestSupport", "midtrain", "Script"], swiftSettings: native),
  ]
)
