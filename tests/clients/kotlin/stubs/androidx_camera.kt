@file:Suppress("UNUSED_PARAMETER", "unused")

package androidx.camera.core

import java.nio.ByteBuffer
import java.util.concurrent.Executor

abstract class UseCase

interface Camera

class CameraSelector {
    companion object {
        @JvmField val DEFAULT_BACK_CAMERA: CameraSelector = CameraSelector()
    }
}

interface ImageInfo {
    val rotationDegrees: Int
}

interface ImageProxy : AutoCloseable {
    interface PlaneProxy {
        val buffer: ByteBuffer
        val rowStride: Int
    }

    val planes: Array<PlaneProxy>
    val width: Int
    val height: Int
    val imageInfo: ImageInfo
}

class Preview : UseCase() {
    interface SurfaceProvider

    fun setSurfaceProvider(provider: SurfaceProvider?): Unit = TODO()

    class Builder {
        fun build(): Preview = TODO()
    }
}

class ImageAnalysis : UseCase() {
    fun interface Analyzer {
        fun analyze(image: ImageProxy)
    }

    fun setAnalyzer(executor: Executor, analyzer: Analyzer): Unit = TODO()

    class Builder {
        fun setOutputImageFormat(format: Int): Builder = TODO()
        fun setBackpressureStrategy(strategy: Int): Builder = TODO()
        fun build(): ImageAnalysis = TODO()
    }

    companion object {
        const val OUTPUT_IMAGE_FORMAT_RGBA_8888 = 2
        const val STRATEGY_KEEP_ONLY_LATEST = 0
    }
}
