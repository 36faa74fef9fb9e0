// The declarations of Android 14 that the project of `edgetune client --platform android` uses, without anything
// behind them.
@file:Suppress("UNUSED_PARAMETER", "unused")

package android.content

import android.content.res.AssetManager
import java.util.concurrent.Executor

abstract class Context {
    abstract val assets: AssetManager
    abstract val contentResolver: ContentResolver
    abstract val mainExecutor: Executor
}

abstract class ContentResolver
