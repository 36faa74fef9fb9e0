// Not compiled: edgetune's tests have no Mac. The declarations were checked against the libraries' sources.
import AVFoundation
import CoreImage
import UIKit

// [docs: resize]
/// Draws a photograph upright, by its `imageOrientation`, and stretched to the square, as in training.
func exactSize(_ photograph: UIImage, _ size: Int, _ background: [Int] = [255, 255, 255]) -> UIImage {
  let format = UIGraphicsImageRendererFormat()
  format.scale = 1  // points are pixels
  format.opaque = true
  format.preferredRange = .standard  // 8 bits of sRGB
  let square = CGSize(width: size, height: size)
  let levels = background.map { CGFloat($0) / 255 }
  return UIGraphicsImageRenderer(size: square, format: format).image { context in
    UIColor(red: levels[0], green: levels[1], blue: levels[2], alpha: 1).setFill()  // behind transparent pixels
    context.fill(CGRect(origin: .zero, size: square))
    context.cgContext.interpolationQuality = .high  // antialiases
    photograph.draw(in: CGRect(origin: .zero, size: square))
  }
}
// [end]

// [docs: pixels]
/// Red, green and blue, 0 to 255, of each pixel, row by row.
func rgb(_ image: UIImage, _ size: Int) -> [UInt8] {
  var rgba = [UInt8](repeating: 0, count: size * size * 4)
  rgba.withUnsafeMutableBytes { buffer in
    let context = CGContext(
      data: buffer.baseAddress, width: size, height: size, bitsPerComponent: 8, bytesPerRow: size * 4,
      space: CGColorSpace(name: CGColorSpace.sRGB)!, bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)!
    context.draw(image.cgImage!, in: CGRect(x: 0, y: 0, width: size, height: size))
  }
  return rgba.enumerated().filter { $0.offset % 4 != 3 }.map { $0.element }
}
// [end]

private let coreImage = CIContext()

// [docs: camera]
/// A camera frame as an upright image. The back camera's sensor lies on its side: in portrait, turn it by `.right`.
func photograph(_ frame: CMSampleBuffer, _ orientation: CGImagePropertyOrientation = .right) -> UIImage? {
  guard let buffer = CMSampleBufferGetImageBuffer(frame) else { return nil }
  let upright = CIImage(cvPixelBuffer: buffer).oriented(orientation)
  return coreImage.createCGImage(upright, from: upright.extent).map { UIImage(cgImage: $0) }
}
// [end]
