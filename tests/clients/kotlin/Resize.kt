// What the test runs: `java ResizeKt WIDTH HEIGHT SIZE DEGREES < rgba > rgb` reads a frame, turns it and stretches it.

import edge.classifier.resized
import edge.classifier.upright
import java.nio.ByteBuffer

fun main(arguments: Array<String>) {
    val (width, height, size, degrees) = arguments.map { it.toInt() }
    System.out.write(resized(upright(ByteBuffer.wrap(System.`in`.readBytes()), width, height, 4 * width, degrees), size).rgb)
    System.out.flush()
}
