// The declarations of LiteRT 2 that are used, as in its sources.
@file:Suppress("UNUSED_PARAMETER", "unused")

package com.google.ai.edge.litert

import android.content.res.AssetManager

enum class Accelerator { NONE, CPU, GPU, NPU }

class TensorBuffer {
    fun writeFloat(data: FloatArray): Unit = TODO()
    fun readFloat(): FloatArray = TODO()
}

class CompiledModel : AutoCloseable {
    class Options(vararg accelerators: Accelerator)

    fun createInputBuffers(): List<TensorBuffer> = TODO()
    fun createOutputBuffers(): List<TensorBuffer> = TODO()
    fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>): Unit = TODO()
    override fun close(): Unit = TODO()

    companion object {
        @JvmStatic fun create(assets: AssetManager, name: String, options: Options): CompiledModel = TODO()
    }
}
