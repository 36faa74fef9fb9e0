@file:Suppress("UNUSED_PARAMETER", "unused")

package com.google.mediapipe.tasks.core

class BaseOptions {
    abstract class Builder {
        abstract fun setModelAssetPath(value: String): Builder
        abstract fun build(): BaseOptions
    }

    companion object {
        @JvmStatic fun builder(): Builder = TODO()
    }
}
