@file:Suppress("UNUSED_PARAMETER", "unused")

package android.app

import android.content.ContentResolver
import android.content.Context
import android.content.res.AssetManager
import android.os.Bundle
import android.view.View
import java.util.concurrent.Executor

open class Activity : Context() {
    override val assets: AssetManager get() = TODO()
    override val contentResolver: ContentResolver get() = TODO()
    override val mainExecutor: Executor get() = TODO()
    protected open fun onCreate(savedInstanceState: Bundle?): Unit = TODO()
    protected open fun onDestroy(): Unit = TODO()
    fun setContentView(view: View): Unit = TODO()
    fun runOnUiThread(action: Runnable): Unit = TODO()
}
