// The declarations of MediaPipe Tasks that are used, as in its sources.
@file:Suppress("UNUSED_PARAMETER", "unused")

package com.google.mediapipe.tasks.vision.imageclassifier

import android.content.Context
import com.google.mediapipe.framework.image.MPImage
import com.google.mediapipe.tasks.core.BaseOptions
import com.google.mediapipe.tasks.vision.core.RunningMode

interface Category {
    fun categoryName(): String
    fun score(): Float
    fun index(): Int
}

interface Classifications {
    fun categories(): List<Category>
}

interface ClassificationResult {
    fun classifications(): List<Classifications>
}

interface ImageClassifierResult {
    fun classificationResult(): ClassificationResult
}

class ImageClassifier : AutoCloseable {
    fun classify(image: MPImage): ImageClassifierResult = TODO()
    override fun close(): Unit = TODO()

    class ImageClassifierOptions {
        abstract class Builder {
            abstract fun setBaseOptions(value: BaseOptions): Builder
            abstract fun setRunningMode(value: RunningMode): Builder
            abstract fun setMaxResults(value: Int): Builder
            abstract fun build(): ImageClassifierOptions
        }

        companion object {
            @JvmStatic fun builder(): Builder = TODO()
        }
    }

    companion object {
        @JvmStatic fun createFromOptions(context: Context, options: ImageClassifierOptions): ImageClassifier = TODO()
    }
}
