// Not compiled: edgetune's tests have no Mac. The declarations were checked against the libraries' sources.
import AVFoundation
import LiteRT
import UIKit

/// The answer to one image; `accepted` is nil if the bundle has no thresholds.
public struct Answer {
  public let label: String
  public let probability: Float
  public let accepted: Bool?
}

/// One variant of the bundle, in LiteRT 2, on the CPU. One thread at a time may use it.
public final class Classifier {
  public let contract: Contract
  let variant: String
  private let model: CompiledModel
  private let inputs: [TensorBuffer]
  private let outputs: [TensorBuffer]

  public init(variant: String? = nil) throws {
    contract = try Contract.read()
    self.variant = variant ?? contract.usual
    let path = Contract.folder.appendingPathComponent("model_\(self.variant).tflite").path
    // [docs: litert2]
    let options = try Options()
    try options.setHardwareAccelerators([.cpu])  // [.gpu, .cpu] with the package's product LiteRtMetalAccelerator
    model = try CompiledModel(filePath: path, environment: Environment(), options: options)
    inputs = try model.createInputBuffers()
    outputs = try model.createOutputBuffers()
    // [end]
  }

  // [docs: litert2 run]
  /// Probabilities in the order of the labels, of pixels of the exact size.
  func probabilities(_ pixels: [UInt8]) throws -> [Float] {
    if variant == "int8" {
      try inputs[0].write(pixels)
    } else {
      let (mean, std) = (contract.input.mean ?? 0, contract.input.std ?? 1)
      try inputs[0].write(pixels.map { (Float($0) - mean) / std })
    }
    try model.run(inputs: inputs, outputs: outputs)
    return try outputs[0].read()
  }
  // [end]

  /// Classifies a photograph.
  public func classify(_ photograph: UIImage) throws -> Answer {
    let given = try probabilities(rgb(exactSize(photograph, contract.size, contract.background), contract.size))
    let best = given.indices.max { given[$0] < given[$1] }!
    return Answer(
      label: contract.labels[best], probability: given[best], accepted: contract.accepts(best, given[best]))
  }

  /// Classifies a frame of the back camera, held in portrait.
  public func classify(_ frame: CMSampleBuffer) throws -> Answer? {
    try photograph(frame).map { try classify($0) }
  }
}
