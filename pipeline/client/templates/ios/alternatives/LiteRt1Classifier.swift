// Not compiled: edgetune's tests have no Mac. The declarations were checked against the libraries' sources.
// Instead of Classifier.swift, with LiteRT 1 (CocoaPods: `TensorFlowLiteSwift` 2.14), from iOS 12 on.

// [docs: litert1]
import Foundation
import TensorFlowLite

final class LiteRt1Classifier {
  private let interpreter: Interpreter
  private let contract: Contract

  init(model: String, contract: Contract) throws {
    interpreter = try Interpreter(modelPath: model)
    try interpreter.allocateTensors()
    self.contract = contract
  }

  /// Probabilities in the order of the labels, of pixels of the exact size.
  func probabilities(_ pixels: [UInt8]) throws -> [Float] {
    let (mean, std) = (contract.input.mean ?? 0, contract.input.std ?? 1)
    let input = try interpreter.input(at: 0).dataType == .uInt8
      ? Data(pixels)  // int8: one byte for each channel
      : pixels.map { (Float32($0) - mean) / std }.withUnsafeBufferPointer { Data(buffer: $0) }
    try interpreter.copy(input, toInputAt: 0)
    try interpreter.invoke()
    return try interpreter.output(at: 0).data.withUnsafeBytes { Array($0.bindMemory(to: Float32.self)) }
  }
}
// [end]
