@file:Suppress("UNUSED_PARAMETER", "unused")

package androidx.camera.lifecycle

import android.content.Context
import androidx.camera.core.Camera
import androidx.camera.core.CameraSelector
import androidx.camera.core.UseCase
import androidx.lifecycle.LifecycleOwner
import java.util.concurrent.Executor
import java.util.concurrent.Future

/** Guava's ListenableFuture. */
interface ListenableFuture<V> : Future<V> {
    fun addListener(listener: Runnable, executor: Executor)
}

class ProcessCameraProvider {
    fun unbindAll(): Unit = TODO()
    fun bindToLifecycle(owner: LifecycleOwner, selector: CameraSelector, vararg useCases: UseCase?): Camera = TODO()

    companion object {
        @JvmStatic fun getInstance(context: Context): ListenableFuture<ProcessCameraProvider> = TODO()
    }
}
