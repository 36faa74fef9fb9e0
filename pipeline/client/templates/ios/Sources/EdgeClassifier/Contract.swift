// Not compiled: edgetune's tests have no Mac. The declarations were checked against the libraries' sources.
import Foundation

// [docs: thresholds]
/// What `bundle.json` says of the models: the labels in the order of the probabilities, the input, the thresholds.
public struct Contract: Decodable {
  struct Variant: Decodable { let file: String }
  struct Reading: Decodable { let background: [Int] }
  struct Input: Decodable {
    let shape: [Int]
    let mean: Float?
    let std: Float?
    let reading: Reading?
  }
  struct Calibration: Decodable { let thresholds: [Float?] }

  public let labels: [String]
  let input: Input
  let variants: [String: Variant]
  let calibration: Calibration?

  /// Whether an answer reaches the threshold of its class, never for a class without one; nil without thresholds.
  public func accepts(_ index: Int, _ probability: Float) -> Bool? {
    guard let thresholds = calibration?.thresholds else { return nil }
    guard let threshold = thresholds[index] else { return false }
    return probability >= threshold
  }
}
// [end]

extension Contract {
  /// Height and width of the input, in pixels.
  public var size: Int { input.shape[1] }

  /// Red, green and blue behind transparent pixels.
  var background: [Int] { input.reading?.background ?? [255, 255, 255] }

  /// The variant to use unless you name another.
  var usual: String { ["float16", "float32", "int8", "dynamic"].first { variants[$0] != nil }! }

  /// The bundle's folder in the resources.
  static let folder = Bundle.module.url(forResource: "bundle", withExtension: nil)!

  static func read() throws -> Contract {
    try JSONDecoder().decode(Contract.self, from: Data(contentsOf: folder.appendingPathComponent("bundle.json")))
  }
}
