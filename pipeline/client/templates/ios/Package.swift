// swift-tools-version:5.9
// Not compiled: edgetune's tests have no Mac. Its declarations were checked against the libraries' sources.
import PackageDescription

let package = Package(
  name: "EdgeClassifier",
  platforms: [.iOS(.v15)],
  products: [.library(name: "EdgeClassifier", targets: ["EdgeClassifier"])],
  dependencies: [.package(url: "https://github.com/google-ai-edge/LiteRT", branch: "release/2.3.0")],
  targets: [
    .target(
      name: "EdgeClassifier",
      dependencies: [.product(name: "LiteRT", package: "LiteRT")],
      resources: [.copy("bundle")]),
    .testTarget(name: "EdgeClassifierTests", dependencies: ["EdgeClassifier"]),
  ]
)
