"""Failures of a job on a cluster, reduced to one sentence. The texts are from Beam and Flink, shortened."""

from __future__ import annotations

import pytest

from edgetune.modules.settings.execution import BeamSettings
from edgetune.pipeline.beam.failure import engine_failure

FLINK = BeamSettings(runner="flink", master="http://127.0.0.1:8081", environment_config="image:1")

BUFFERS = """\
Pipeline job-1 failed in state FAILED: org.apache.flink.runtime.JobException: Recovery is suppressed by NoRestart
\tat org.apache.flink.runtime.executiongraph.failover.ExecutionFailureHandler.handleFailure
Caused by: java.lang.RuntimeException: outer
\tat org.apache.flink.runtime.taskmanager.Task.doRun(Task.java:714)
Caused by: java.io.IOException: Insufficient number of network buffers: required 16, but only 6 available.
\tat org.apache.flink.runtime.io.network.buffer.NetworkBufferPool.internalCreateBufferPool(NetworkBufferPool.java:513)
 [while running 'Run[ImageExampleGen]']"""

PYTHON = """\
Pipeline job-1 failed in state FAILED: java.util.concurrent.ExecutionException: \
java.lang.RuntimeException: Error received from SDK harness for instruction 1: Traceback (most recent call last):
  File "apache_beam/runners/common.py", line 1499, in apache_beam.runners.common.DoFnRunner.process
ZeroDivisionError: division by zero

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "apache_beam/runners/common.py", line 1610, in apache_beam.runners.common.DoFnRunner._reraise_augmented
edgetune.modules.core.errors.DataError: no such class [while running 'Decode']

\tat org.apache.beam.runners.fnexecution.control.FnApiControlClient$ResponseStreamObserver.onNext
Caused by: java.lang.RuntimeException: Error received from SDK harness: Traceback (most recent call last):
  File "apache_beam/runners/common.py", line 1610, in apache_beam.runners.common.DoFnRunner._reraise_augmented
edgetune.modules.core.errors.DataError: no such class [while running 'Decode']

\t... 1 more"""

REFUSED = (
    "Request to http://127.0.0.1:8081/v1/jars/x.jar/run failed with status 500: "
    '{"errors":["Internal server error.","<Exception on server side:\\norg.apache.flink.util.FlinkException: no\\n'
    "\\tat org.apache.flink.runtime.webmonitor.handlers.JarRunHandler.handle\\n"
    'Caused by: java.lang.IllegalArgumentException: no such option\\n\\tat java.base\\nEnd of exception>"]}'
)

GONE = (
    "HTTPConnectionPool(host='127.0.0.1', port=8081): Max retries exceeded with url: /v1/jobs/1/execution-result "
    "(Caused by NewConnectionError('<urllib3.connection.HTTPConnection object at 0x7fc30513fac0>: "
    "Failed to establish a new connection: [Errno 111] Connection refused'))"
)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            BUFFERS,
            "a job ended on flink (http://127.0.0.1:8081) as FAILED: java.io.IOException: "
            "Insufficient number of network buffers: required 16, but only 6 available.",
        ),
        (
            PYTHON,
            "a job ended on flink (http://127.0.0.1:8081) as FAILED: "
            "edgetune.modules.core.errors.DataError: no such class [while running 'Decode']",
        ),
        (
            REFUSED,
            "flink (http://127.0.0.1:8081) rejected a job with 500: java.lang.IllegalArgumentException: no such option",
        ),
        (GONE, "flink (http://127.0.0.1:8081) no longer answers: Connection refused"),
    ],
)
def test_the_innermost_reason_is_reported(text, cause):
    failure = engine_failure(RuntimeError(text), FLINK)
    assert failure is not None
    assert failure.cause == cause
    assert "docs/beam.md" in failure.remedy


def test_a_long_reason_is_shortened_and_a_missing_one_is_stated():
    long = engine_failure(RuntimeError(f"Pipeline job-1 failed in state FAILED: {'x' * 1000}"), FLINK)
    assert long is not None and len(long.cause) < 400 and long.cause.endswith("…")
    empty = engine_failure(RuntimeError("Pipeline job-1 failed in state CANCELLED:  "), FLINK)
    assert empty is not None and empty.cause.endswith("as CANCELLED: no reason given")


def test_an_error_that_the_engine_did_not_cause_is_not_a_job_failure():
    assert engine_failure(ZeroDivisionError("division by zero"), FLINK) is None
    assert engine_failure(RuntimeError(BUFFERS), BeamSettings()) is None
