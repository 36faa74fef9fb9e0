package edge.classifier

import android.graphics.BitmapFactory
import androidx.test.ext.junit.runners.AndroidJUnit4
import androidx.test.platform.app.InstrumentationRegistry
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Test
import org.junit.runner.RunWith

/** The phone computes what was measured, in every variant. */
@RunWith(AndroidJUnit4::class)
class GoldenTest {
    // [docs: golden]
    @Test
    fun answersAreThoseThatWereMeasured() {
        val context = InstrumentationRegistry.getInstrumentation().targetContext
        val golden = context.assets.open("bundle/golden/expected.json").bufferedReader().use { it.readText() }
        val images = JSONObject(golden).getJSONArray("images")
        val tolerance = mapOf("float32" to 0.001, "float16" to 0.001, "int8" to 0.05, "dynamic" to 0.05)
        for (variant in Classifier(context).use { it.contract.files.keys }) {
            Classifier(context, variant).use { classifier ->
                for (i in 0 until images.length()) {
                    val image = images.getJSONObject(i)
                    val file = context.assets.open("bundle/golden/" + image.getString("file"))
                    val given = classifier.probabilities(
                        pixels(file.use { BitmapFactory.decodeStream(it) }, classifier.contract.background),
                    )
                    val wanted = image.getJSONObject("probabilities").getJSONArray(variant)
                    for (k in given.indices) {
                        val where = "$variant, ${image.getString("file")}, ${classifier.contract.labels[k]}"
                        assertEquals(where, wanted.getDouble(k), given[k].toDouble(), tolerance.getValue(variant))
                    }
                }
            }
        }
    }
    // [end]
}
