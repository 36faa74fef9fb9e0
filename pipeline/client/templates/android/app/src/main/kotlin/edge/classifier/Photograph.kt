package edge.classifier

import android.graphics.Bitmap
import android.graphics.ColorSpace
import android.graphics.ImageDecoder

// [docs: photograph]
/** A photograph, turned upright as its EXIF data says, in sRGB. `BitmapFactory` would not turn it. */
fun photograph(source: ImageDecoder.Source, background: IntArray): Pixels =
    pixels(
        ImageDecoder.decodeBitmap(source) { decoder, _, _ ->
            decoder.allocator = ImageDecoder.ALLOCATOR_SOFTWARE
            decoder.setTargetColorSpace(ColorSpace.get(ColorSpace.Named.SRGB))
        },
        background,
    )

fun pixels(bitmap: Bitmap, background: IntArray): Pixels {
    val colors = IntArray(bitmap.width * bitmap.height)
    bitmap.getPixels(colors, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
    return opaque(colors, bitmap.width, bitmap.height, background)
}
// [end]
