package edge.classifier

import org.json.JSONObject

/** What `bundle.json` says of the models: the labels in the order of the probabilities, the input, the thresholds. */
class Contract(json: String) {
    private val facts = JSONObject(json)
    private val input = facts.getJSONObject("input")

    val labels: List<String> = facts.getJSONArray("labels").let { names -> List(names.length()) { names.getString(it) } }

    /** Height and width of the input, in pixels. */
    val size: Int = input.getJSONArray("shape").getInt(1)

    /** The float variants take (value - mean) / std of each channel's 0..255; int8 takes the bytes themselves. */
    val mean: Float = input.optDouble("mean", 0.0).toFloat()
    val std: Float = input.optDouble("std", 1.0).toFloat()

    /** Red, green and blue behind transparent pixels. */
    val background: IntArray = input.optJSONObject("reading")?.optJSONArray("background")
        ?.let { levels -> IntArray(3) { levels.getInt(it) } } ?: intArrayOf(255, 255, 255)

    /** The variants in the bundle, by the name of the file. */
    val files: Map<String, String> = facts.getJSONObject("variants").let { variants ->
        variants.keys().asSequence().associateWith { variants.getJSONObject(it).getString("file") }
    }

    /** The variant to use unless you name another. */
    val variant: String = listOf("float16", "float32", "int8", "dynamic").first { it in files }

    // [docs: thresholds]
    private val thresholds = facts.optJSONObject("calibration")?.getJSONArray("thresholds")

    /** Whether an answer reaches the threshold of its class, never for a class without one; null without thresholds. */
    fun accepts(index: Int, probability: Float): Boolean? {
        val given = thresholds ?: return null
        return !given.isNull(index) && probability >= given.getDouble(index)
    }
    // [end]
}
