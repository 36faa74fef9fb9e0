// Not compiled: edgetune's tests have no Mac. The declarations were checked against the libraries' sources.
import UIKit
import XCTest

@testable import EdgeClassifier

/// The phone computes what was measured, in every variant.
final class GoldenTests: XCTestCase {
  // [docs: golden]
  struct Expected: Decodable {
    struct Image: Decodable { let file: String; let probabilities: [String: [Float]] }
    let labels: [String]
    let images: [Image]
  }

  func testAnswersAreThoseThatWereMeasured() throws {
    let golden = Contract.folder.appendingPathComponent("golden")
    let expected = try JSONDecoder().decode(
      Expected.self, from: Data(contentsOf: golden.appendingPathComponent("expected.json")))
    let tolerance: [String: Float] = ["float32": 0.001, "float16": 0.001, "int8": 0.05, "dynamic": 0.05]
    for variant in try Contract.read().variants.keys {
      let classifier = try Classifier(variant: variant)
      XCTAssertEqual(classifier.contract.labels, expected.labels)
      for image in expected.images {
        let picture = UIImage(contentsOfFile: golden.appendingPathComponent(image.file).path)!
        let given = try classifier.probabilities(rgb(picture, classifier.contract.size))
        for (wanted, answer) in zip(image.probabilities[variant]!, given) {
          XCTAssertEqual(wanted, answer, accuracy: tolerance[variant]!, "\(variant), \(image.file)")
        }
      }
    }
  }
  // [end]

  func testAPhotographIsTurnedUpright() throws {
    let red = UIGraphicsImageRenderer(size: CGSize(width: 1, height: 2)).image { context in
      UIColor.blue.setFill()
      context.fill(CGRect(x: 0, y: 0, width: 1, height: 2))
      UIColor.red.setFill()
      context.fill(CGRect(x: 0, y: 0, width: 1, height: 1))
    }
    let lying = UIImage(cgImage: red.cgImage!, scale: 1, orientation: .right)  // show it turned clockwise
    let pixels = rgb(exactSize(lying, 8), 8)
    XCTAssertLessThan(pixels[0], 64)  // blue on the left, red on the right
    XCTAssertGreaterThan(pixels[3 * 7], 192)
  }
}
