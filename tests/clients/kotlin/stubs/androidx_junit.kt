package androidx.test.ext.junit.runners

import org.junit.runner.Description
import org.junit.runner.Runner
import org.junit.runner.notification.RunNotifier

class AndroidJUnit4(test: Class<*>) : Runner() {
    override fun getDescription(): Description = TODO()
    override fun run(notifier: RunNotifier): Unit = TODO()
}
