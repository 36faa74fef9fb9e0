"""Faults of the environment, recognized in what libraries make of them."""

from __future__ import annotations

import errno
import os
import sqlite3

import pytest

from edgetune.modules.core.errors import AccessError, DatabaseError, DataError, MachineError, MemoryShortage
from edgetune.modules.core.faults import fault


def system(number: int, path: str | None = "/disk/model.pb") -> OSError:
    return OSError(number, os.strerror(number), path)


def library(module: str, name: str, said: str) -> Exception:
    """Return an error of a library that need not be imported."""
    return type(name, (Exception,), {"__module__": module})(said)


# As Beam's workers send it to their runner: format_exc(), of the code and then of what was raised.
TRACEBACK = """Traceback (most recent call last):
  File "/x/apache_beam/runners/common.py", line 1500, in process
    raise OSError("Permission denied")  # not what happened
  File "/x/writer.py", line 3, in write
    file.write(content)
OSError: [Errno 28] No space left on device: '/disk/part-0' [while running 'Write/Part']

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/x/apache_beam/runners/worker/sdk_worker.py", line 1, in _execute
    response = task()
RuntimeError: the bundle failed [while running 'Write/Part']
"""


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (system(errno.ENOSPC), MachineError, "/disk/model.pb: the disk is full"),
        (system(errno.ENOSPC, None), MachineError, "a disk is full"),
        (system(errno.EDQUOT), MachineError, "/disk/model.pb: Disk quota exceeded"),
        (system(errno.EFBIG), MachineError, "larger than this process or the file system allows"),
        (system(errno.EMFILE), MachineError, "too many open files"),
        (system(errno.ENOMEM, None), MemoryShortage, "memory ran out (Cannot allocate memory)"),
        (system(errno.EROFS), AccessError, "/disk/model.pb: Read-only file system"),
        (system(errno.EIO), MachineError, "/disk/model.pb: Input/output error"),
        (system(errno.ESTALE), MachineError, "/disk/model.pb: Stale file handle"),
        (system(errno.ENOTCONN), MachineError, "/disk/model.pb: Transport endpoint is not connected"),
        (system(errno.EAGAIN, None), MemoryShortage, "memory ran out (Resource temporarily unavailable)"),
        (
            RuntimeError("the process that decodes images does not start: SIGKILL"),
            MemoryShortage,
            "memory ran out (the process that decodes images does not start: SIGKILL)",
        ),
        (OSError("gs://bucket/x: Permission denied"), AccessError, "gs://bucket/x: Permission denied"),
        (MemoryError(), MemoryShortage, "memory ran out"),
        (RuntimeError("can't start new thread"), MemoryShortage, "memory ran out (can't start new thread)"),
        (ImportError("libtensorflow_cc.so.2: failed to map segment from shared object"), MemoryShortage, "map segment"),
        (RuntimeError("std::bad_alloc [while running 'Decode']"), MemoryShortage, "memory ran out (std::bad_alloc)"),
        (OSError("[Errno 13] Permission denied: '/in/a.jpg' [while running 'Read']"), AccessError, "/in/a.jpg: Permi"),
        (RuntimeError(TRACEBACK), MachineError, "/disk/part-0: the disk is full"),
        (
            library(
                "tensorflow.python.framework.errors_impl",
                "ResourceExhaustedError",
                "/disk/variables.data-00000-of-00001.tempstate; No space left on device [Op:SaveV2]",
            ),
            MachineError,
            "/disk/variables.data-00000-of-00001.tempstate: the disk is full",
        ),
        (
            library(
                "tensorflow.python.framework.errors_impl",
                "ResourceExhaustedError",
                "OOM when allocating tensor with shape[64,7] on /job:localhost/device:GPU:0",
            ),
            MemoryShortage,
            "memory ran out (OOM when allocating tensor",
        ),
        (
            sqlite3.DatabaseError("database disk image is malformed"),
            DatabaseError,
            "(database disk image is malformed)",
        ),
        (sqlite3.OperationalError("database or disk is full"), MachineError, "a disk is full"),
        (library("ml_metadata.errors", "InternalError", "no such table: Type"), DatabaseError, "no such table: Type"),
    ],
)
def test_a_fault_is_a_sentence_with_a_remedy(error, kind, words):
    found = fault(error)
    assert type(found) is kind and words in found.cause and found.remedy
    assert "while running" not in str(found) and "\n" not in found.cause


def test_the_cause_behind_other_errors_is_found():
    try:
        try:
            raise system(errno.ENOSPC)
        except OSError as error:
            raise ValueError("the step failed") from error
    except ValueError as error:
        outer = RuntimeError("wrapped", error)
    assert fault(outer).cause == "/disk/model.pb: the disk is full"


def test_an_error_of_edgetune_is_itself_also_behind_a_fault_of_the_machine():
    ours = DataError("owl/1.jpg is damaged", "remove it")
    outer = system(errno.ENOSPC)
    outer.__context__ = ours
    assert fault(outer) is ours


def test_an_error_of_edgetune_in_the_text_of_a_worker_is_built_again():
    text = (
        'Traceback (most recent call last):\n  File "/x.py", line 1\n'
        "edgetune.modules.core.errors.DataError: owl/1.jpg is damaged\n  remedy: remove it [while running 'Read']\n"
    )
    found = fault(RuntimeError(text))
    assert (type(found), found.cause, found.remedy) == (DataError, "owl/1.jpg is damaged", "remove it")


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("oh"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/x"),
        ValueError("No space left on device"),  # said by who knows whom
        OSError(13, "the server has an internal error", "gs://bucket/model"),  # TensorFlow's INTERNAL, not EACCES
        library("ml_metadata.errors", "AlreadyExistsError", "the type exists"),
        RuntimeError('Traceback (most recent call last):\n    raise OSError("Permission denied")\nKeyError: 1'),
    ],
)
def test_everything_else_is_not_a_fault_of_the_machine(error):
    assert fault(error) is None


def test_a_circle_of_causes_ends():
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert fault(one) is None
