package edge.classifier

import java.nio.ByteBuffer
import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min
import kotlin.math.round

/** An image: red, green and blue, 0 to 255, of each pixel, row by row. Plain Kotlin, tested on the computer. */
class Pixels(val width: Int, val height: Int, val rgb: ByteArray) {
    init {
        require(rgb.size == width * height * 3) { "${rgb.size} bytes for $width x $height pixels" }
    }
}

// [docs: camera]
/** A camera frame in RGBA, such as of CameraX, turned clockwise by [degrees]: 0, 90, 180 or 270. */
fun upright(rgba: ByteBuffer, width: Int, height: Int, rowStride: Int, degrees: Int): Pixels {
    val turned = degrees % 180 != 0
    val result = Pixels(if (turned) height else width, if (turned) width else height, ByteArray(width * height * 3))
    var to = 0
    for (y in 0 until result.height) for (x in 0 until result.width) {
        val (column, row) = when (degrees) {
            0 -> x to y
            90 -> y to height - 1 - x
            180 -> width - 1 - x to height - 1 - y
            270 -> width - 1 - y to x
            else -> throw IllegalArgumentException("$degrees degrees")
        }
        val from = row * rowStride + 4 * column
        for (channel in 0 until 3) result.rgb[to++] = rgba.get(from + channel)
    }
    return result
}
// [end]

/** Colors as Android has them, alpha, red, green and blue in an Int, on a background where they are transparent. */
fun opaque(colors: IntArray, width: Int, height: Int, background: IntArray): Pixels {
    val rgb = ByteArray(colors.size * 3)
    colors.forEachIndexed { i, color ->
        val alpha = color ushr 24
        for (channel in 0 until 3) {
            val level = color shr (16 - 8 * channel) and 0xFF
            rgb[3 * i + channel] = ((level * alpha + background[channel] * (255 - alpha) + 127) / 255).toByte()
        }
    }
    return Pixels(width, height, rgb)
}

// [docs: resize]
/** Stretches to a square as in training: bilinear with antialiasing, rounded once, halves to even. */
fun resized(image: Pixels, size: Int): Pixels {
    if (image.width == size && image.height == size) return image
    val columns = triangles(image.width, size)
    val rows = triangles(image.height, size)
    val narrow = FloatArray(image.height * size * 3)
    for (y in 0 until image.height) for (x in 0 until size) {
        val (first, weights) = columns[x]
        for (channel in 0 until 3) {
            var sum = 0f
            for (i in weights.indices) {
                sum += weights[i] * (image.rgb[3 * (y * image.width + first + i) + channel].toInt() and 0xFF)
            }
            narrow[3 * (y * size + x) + channel] = sum
        }
    }
    val result = Pixels(size, size, ByteArray(size * size * 3))
    for (y in 0 until size) for (x in 0 until 3 * size) {
        val (first, weights) = rows[y]
        var sum = 0f
        for (i in weights.indices) sum += weights[i] * narrow[3 * size * (first + i) + x]
        result.rgb[3 * size * y + x] = round(sum).coerceIn(0f, 255f).toInt().toByte()
    }
    return result
}

/** For each pixel of the result: the first pixel of the source with a weight, and the weights from there on. */
private fun triangles(source: Int, result: Int): List<Pair<Int, FloatArray>> {
    val scale = source.toDouble() / result
    val reach = max(1.0, scale)
    return List(result) { index ->
        val centre = (index + 0.5) * scale
        val first = max(0, ceil(centre - reach - 0.5).toInt())
        val last = min(source - 1, floor(centre + reach - 0.5).toInt())
        val weights = DoubleArray(last - first + 1) { max(0.0, 1 - abs(first + it + 0.5 - centre) / reach) }
        first to FloatArray(weights.size) { (weights[it] / weights.sum()).toFloat() }
    }
}
// [end]
