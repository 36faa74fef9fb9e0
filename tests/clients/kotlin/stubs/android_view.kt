@file:Suppress("UNUSED_PARAMETER", "unused")

package android.view

import android.content.Context

open class View(context: Context) {
    fun setOnClickListener(listener: (View) -> Unit): Unit = TODO()
    var fitsSystemWindows: Boolean = false
}

open class ViewGroup(context: Context) : View(context) {
    fun addView(child: View): Unit = TODO()
}
