package edge.classifier

// Instead of Classifier.kt, with MediaPipe Tasks:
//   implementation("com.google.mediapipe:tasks-vision:0.10.26")
// Names and normalization come from the file's own metadata; there is nothing else to set.

// [docs: mediapipe]
import android.content.Context
import android.graphics.Bitmap
import com.google.mediapipe.framework.image.BitmapImageBuilder
import com.google.mediapipe.tasks.core.BaseOptions
import com.google.mediapipe.tasks.vision.core.RunningMode
import com.google.mediapipe.tasks.vision.imageclassifier.ImageClassifier

class MediaPipeClassifier(context: Context, model: String = "bundle/model_float16.tflite") : AutoCloseable {
    private val classifier = ImageClassifier.createFromOptions(
        context,
        ImageClassifier.ImageClassifierOptions.builder()
            .setBaseOptions(BaseOptions.builder().setModelAssetPath(model).build())
            .setRunningMode(RunningMode.IMAGE)
            .setMaxResults(3)
            .build(),
    )

    /** The best classes with their probabilities. Give pixels of the exact size: see `resized`. */
    fun classify(pixels: Pixels): List<Pair<String, Float>> {
        val colors = IntArray(pixels.width * pixels.height) { i ->
            val (red, green, blue) = List(3) { pixels.rgb[3 * i + it].toInt() and 0xFF }
            (0xFF shl 24) or (red shl 16) or (green shl 8) or blue
        }
        val bitmap = Bitmap.createBitmap(colors, pixels.width, pixels.height, Bitmap.Config.ARGB_8888)
        val result = classifier.classify(BitmapImageBuilder(bitmap).build())
        return result.classificationResult().classifications()[0].categories().map { it.categoryName() to it.score() }
    }

    override fun close() = classifier.close()
}
// [end]
