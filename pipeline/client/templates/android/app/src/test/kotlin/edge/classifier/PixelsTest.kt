package edge.classifier

import java.nio.ByteBuffer
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Test

/** Reading and resizing, on the computer. */
class PixelsTest {
    private fun bytes(vararg levels: Int) = ByteArray(levels.size) { levels[it].toByte() }

    // Two columns, one row: red 1 and 2. Rows have four bytes more than the pixels need.
    private val frame: ByteBuffer = ByteBuffer.wrap(bytes(1, 0, 0, 255, 2, 0, 0, 255, 9, 9, 9, 9))

    @Test
    fun aFrameIsTurnedClockwise() {
        for ((degrees, reds) in mapOf(0 to listOf(1, 2), 90 to listOf(1, 2), 180 to listOf(2, 1), 270 to listOf(2, 1))) {
            val found = upright(frame, 2, 1, 12, degrees)
            assertEquals(if (degrees % 180 == 0) 2 else 1, found.width)
            assertEquals(if (degrees % 180 == 0) 1 else 2, found.height)
            assertEquals("$degrees", reds, List(2) { found.rgb[3 * it].toInt() })
        }
    }

    @Test
    fun aRowTurnedByNinetyDegreesStartsAtTheBottom() {
        // One column, two rows: 1 above 2. Turned clockwise, the lower one is on the left.
        val found = upright(ByteBuffer.wrap(bytes(1, 0, 0, 255, 2, 0, 0, 255)), 1, 2, 4, 90)
        assertEquals(listOf(2, 1), List(2) { found.rgb[3 * it].toInt() })
    }

    @Test
    fun transparentPixelsGetTheBackground() {
        val found = opaque(intArrayOf(0x00FFFFFF, 0xFF102030.toInt()), 2, 1, intArrayOf(1, 2, 3))
        assertArrayEquals(bytes(1, 2, 3, 0x10, 0x20, 0x30), found.rgb)
    }

    @Test
    fun theResizeAveragesWhatItShrinks() {
        val stripes = Pixels(128, 2, ByteArray(128 * 2 * 3) { (if (it / 3 % 2 == 0) 0 else 255).toByte() })
        for (level in resized(stripes, 4).rgb) assertEquals(127.5, (level.toInt() and 0xFF).toDouble(), 8.0)
    }

    @Test
    fun theThresholdOfAClassDecides() {
        val contract = Contract(
            """{"labels": ["a", "b"], "input": {"shape": [1, 4, 4, 3]}, "calibration": {"thresholds": [0.5, null]},
               "variants": {"int8": {"file": "model_int8.tflite"}}}""",
        )
        assertEquals(listOf(true, false, false), listOf(contract.accepts(0, .5f), contract.accepts(0, .4f), contract.accepts(1, 1f)))
        assertEquals("int8", contract.variant)
    }
}
