// Not compiled: edgetune's tests have no Mac. The declarations were checked against the libraries' sources.
// Instead of Classifier.swift, with MediaPipe Tasks (`MediaPipeTasksVision`). Names and normalization come from the
// file's own metadata; there is nothing else to set.

// [docs: mediapipe]
import MediaPipeTasksVision
import UIKit

final class MediaPipeClassifier {
  private let classifier: ImageClassifier
  private let size: Int

  init(model: String, size: Int) throws {
    let options = ImageClassifierOptions()
    options.baseOptions.modelAssetPath = model
    options.runningMode = .image
    options.maxResults = 3
    classifier = try ImageClassifier(options: options)
    self.size = size
  }

  /// The best classes with their probabilities.
  func classify(_ photograph: UIImage) throws -> [(String, Float)] {
    let result = try classifier.classify(image: MPImage(uiImage: exactSize(photograph, size)))
    return result.classificationResult.classifications[0].categories.map { ($0.categoryName ?? "", $0.score) }
  }
}
// [end]
