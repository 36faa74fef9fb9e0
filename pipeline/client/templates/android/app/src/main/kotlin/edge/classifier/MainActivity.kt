package edge.classifier

import android.Manifest
import android.graphics.ImageDecoder
import android.os.Bundle
import android.widget.Button
import android.widget.LinearLayout
import android.widget.TextView
import androidx.activity.ComponentActivity
import androidx.activity.result.contract.ActivityResultContracts
import androidx.camera.core.CameraSelector
import androidx.camera.core.ImageAnalysis
import androidx.camera.core.ImageProxy
import androidx.camera.core.Preview
import androidx.camera.lifecycle.ProcessCameraProvider
import androidx.camera.view.PreviewView
import androidx.core.content.ContextCompat
import java.util.concurrent.Executors

/** Classifies what the camera sees, or a photograph that is chosen. */
class MainActivity : ComponentActivity() {
    private val worker = Executors.newSingleThreadExecutor() // the interpreter's only thread
    private lateinit var classifier: Classifier
    private lateinit var preview: PreviewView
    private lateinit var answer: TextView

    private val choose = registerForActivityResult(ActivityResultContracts.GetContent()) { uri ->
        if (uri != null) {
            ProcessCameraProvider.getInstance(this).get().unbindAll()
            worker.execute {
                show(photograph(ImageDecoder.createSource(contentResolver, uri), classifier.contract.background))
            }
        }
    }

    private val permission = registerForActivityResult(ActivityResultContracts.RequestPermission()) { granted ->
        if (granted) watch() else answer.text = "The camera is not allowed: choose a photograph."
    }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        classifier = Classifier(this)
        preview = PreviewView(this)
        answer = TextView(this).apply { textSize = 24f }
        val photo = Button(this).apply { text = "Photograph"; setOnClickListener { choose.launch("image/*") } }
        val camera = Button(this).apply {
            text = "Camera"
            setOnClickListener { permission.launch(Manifest.permission.CAMERA) }
        }
        setContentView(
            LinearLayout(this).apply {
                orientation = LinearLayout.VERTICAL
                fitsSystemWindows = true
                addView(answer)
                addView(camera)
                addView(photo)
                addView(preview)
            },
        )
    }

    override fun onDestroy() {
        super.onDestroy()
        worker.execute { classifier.close() }
        worker.shutdown()
    }

    private fun watch() {
        val provider = ProcessCameraProvider.getInstance(this)
        provider.addListener({
            val frames = ImageAnalysis.Builder()
                .setOutputImageFormat(ImageAnalysis.OUTPUT_IMAGE_FORMAT_RGBA_8888)
                .setBackpressureStrategy(ImageAnalysis.STRATEGY_KEEP_ONLY_LATEST)
                .build()
            frames.setAnalyzer(worker) { frame -> frame.use { show(pixels(it)) } }
            val shown = Preview.Builder().build().apply { setSurfaceProvider(preview.surfaceProvider) }
            provider.get().unbindAll()
            provider.get().bindToLifecycle(this, CameraSelector.DEFAULT_BACK_CAMERA, shown, frames)
        }, ContextCompat.getMainExecutor(this))
    }

    private fun pixels(frame: ImageProxy): Pixels {
        val plane = frame.planes[0]
        return upright(plane.buffer, frame.width, frame.height, plane.rowStride, frame.imageInfo.rotationDegrees)
    }

    private fun show(image: Pixels) {
        val found = classifier.classify(image)
        val unsure = if (found.accepted == false) "unsure: " else ""
        runOnUiThread { answer.text = "%s%s %.3f".format(unsure, found.label, found.probability) }
    }
}
