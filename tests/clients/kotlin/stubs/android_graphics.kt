@file:Suppress("UNUSED_PARAMETER", "unused")

package android.graphics

import android.content.ContentResolver
import android.net.Uri
import java.io.InputStream

class Bitmap {
    enum class Config { ARGB_8888 }

    val width: Int get() = TODO()
    val height: Int get() = TODO()
    fun getPixels(pixels: IntArray, offset: Int, stride: Int, x: Int, y: Int, width: Int, height: Int): Unit = TODO()

    companion object {
        @JvmStatic fun createBitmap(colors: IntArray, width: Int, height: Int, config: Config): Bitmap = TODO()
    }
}

object BitmapFactory {
    @JvmStatic fun decodeStream(stream: InputStream): Bitmap = TODO()
}

abstract class ColorSpace {
    enum class Named { SRGB }

    companion object {
        @JvmStatic fun get(name: Named): ColorSpace = TODO()
    }
}

class ImageDecoder {
    abstract class Source
    class ImageInfo
    fun interface OnHeaderDecodedListener {
        fun onHeaderDecoded(decoder: ImageDecoder, info: ImageInfo, source: Source)
    }

    var allocator: Int = 0
    fun setTargetColorSpace(space: ColorSpace): Unit = TODO()

    companion object {
        const val ALLOCATOR_SOFTWARE = 1
        @JvmStatic fun decodeBitmap(source: Source, listener: OnHeaderDecodedListener): Bitmap = TODO()
        @JvmStatic fun createSource(resolver: ContentResolver, uri: Uri): Source = TODO()
    }
}
