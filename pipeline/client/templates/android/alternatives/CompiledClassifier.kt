package edge.classifier

// Instead of Classifier.kt, with LiteRT 2, for the float variants, also on a GPU:
//   implementation("com.google.ai.edge.litert:litert:2.1.0")

// [docs: compiled]
import android.content.Context
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel

class CompiledClassifier(
    context: Context,
    private val contract: Contract,
    model: String = "bundle/model_float16.tflite",
) : AutoCloseable {
    private val compiled = CompiledModel.create(context.assets, model, CompiledModel.Options(Accelerator.CPU))
    private val inputs = compiled.createInputBuffers()
    private val outputs = compiled.createOutputBuffers()

    /** Probabilities in the order of the labels, of pixels of the exact size: see `resized`. */
    fun probabilities(pixels: Pixels): FloatArray {
        inputs[0].writeFloat(
            FloatArray(pixels.rgb.size) { ((pixels.rgb[it].toInt() and 0xFF) - contract.mean) / contract.std },
        )
        compiled.run(inputs, outputs)
        return outputs[0].readFloat()
    }

    override fun close() = compiled.close()
}
// [end]
