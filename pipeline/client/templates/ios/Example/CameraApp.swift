// Not compiled: edgetune's tests have no Mac. The declarations were checked against the libraries' sources.
// An app around the package: in Xcode, make an iOS app, add this package to it, replace its App file by this one, and
// add "Privacy - Camera Usage Description" to its Info.
import AVFoundation
import EdgeClassifier
import SwiftUI

@main
struct CameraApp: App {
  @StateObject private var camera = Camera()

  var body: some Scene {
    WindowGroup { Text(camera.answer).font(.largeTitle).padding().task { await camera.start() } }
  }
}

final class Camera: NSObject, ObservableObject, AVCaptureVideoDataOutputSampleBufferDelegate {
  @Published var answer = "Starting …"
  private let session = AVCaptureSession()
  private let queue = DispatchQueue(label: "camera")  // the classifier's only thread
  private var classifier: Classifier?

  func start() async {
    guard await AVCaptureDevice.requestAccess(for: .video),
      let device = AVCaptureDevice.default(.builtInWideAngleCamera, for: .video, position: .back),
      let input = try? AVCaptureDeviceInput(device: device)
    else { return show("The camera is not there, or not allowed.") }
    queue.async { [self] in
      do {
        classifier = try Classifier()
      } catch {
        return show("\(error)")
      }
      let output = AVCaptureVideoDataOutput()
      output.videoSettings = [kCVPixelBufferPixelFormatTypeKey as String: kCVPixelFormatType_32BGRA]
      output.alwaysDiscardsLateVideoFrames = true
      output.setSampleBufferDelegate(self, queue: queue)
      session.addInput(input)
      session.addOutput(output)
      session.startRunning()
    }
  }

  func captureOutput(_ output: AVCaptureOutput, didOutput frame: CMSampleBuffer, from _: AVCaptureConnection) {
    guard let found = try? classifier?.classify(frame) else { return }
    let unsure = found.accepted == false ? "unsure: " : ""
    show(unsure + found.label + String(format: " %.3f", found.probability))
  }

  private func show(_ text: String) {
    DispatchQueue.main.async { self.answer = text }
  }
}
