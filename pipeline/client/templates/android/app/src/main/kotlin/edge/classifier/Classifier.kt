package edge.classifier

import android.content.Context
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.channels.FileChannel
import org.tensorflow.lite.Interpreter

/** The answer to one image; [accepted] is null if the bundle has no thresholds. */
class Answer(val label: String, val probability: Float, val accepted: Boolean?)

/** One variant of the bundle in the assets, in LiteRT, on the CPU. One thread at a time may use it. */
class Classifier(context: Context, variant: String? = null) : AutoCloseable {
    val contract = Contract(context.assets.open("bundle/bundle.json").bufferedReader().use { it.readText() })
    private val interpreter: Interpreter

    // [docs: interpreter]
    init {
        val file = context.assets.openFd("bundle/" + contract.files.getValue(variant ?: contract.variant))
        val model = file.createInputStream().channel
            .map(FileChannel.MapMode.READ_ONLY, file.startOffset, file.declaredLength)
        interpreter = Interpreter(model, Interpreter.Options().setNumThreads(2))
    }

    /** Probabilities in the order of the labels. */
    fun probabilities(pixels: Pixels): FloatArray {
        val input = interpreter.getInputTensor(0)
        val values = ByteBuffer.allocateDirect(input.numBytes()).order(ByteOrder.nativeOrder())
        if (input.numBytes() == pixels.rgb.size) {
            values.put(pixels.rgb) // int8: one byte for each channel
        } else {
            for (level in pixels.rgb) values.putFloat(((level.toInt() and 0xFF) - contract.mean) / contract.std)
        }
        values.rewind()
        val probabilities = Array(1) { FloatArray(contract.labels.size) }
        interpreter.run(values, probabilities)
        return probabilities[0]
    }
    // [end]

    fun classify(image: Pixels): Answer {
        val probabilities = probabilities(resized(image, contract.size))
        val best = probabilities.indices.maxByOrNull { probabilities[it] } ?: error("the model has no classes")
        return Answer(contract.labels[best], probabilities[best], contract.accepts(best, probabilities[best]))
    }

    override fun close() = interpreter.close()
}
