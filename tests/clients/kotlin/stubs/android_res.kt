package android.content.res

import java.io.FileInputStream
import java.io.InputStream

class AssetManager {
    fun open(fileName: String): InputStream = TODO()
    fun openFd(fileName: String): AssetFileDescriptor = TODO()
}

class AssetFileDescriptor {
    val startOffset: Long get() = TODO()
    val declaredLength: Long get() = TODO()
    fun createInputStream(): FileInputStream = TODO()
}
