"""What all tests share."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from edgetune.modules.core import child_process
from tests.helpers import beam_introspection, fork_server, loaded_models
from tests.tiny import session

# Before anything imports TensorFlow: its start-up messages bury a failure, and no result may depend on a GPU.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

UNNAMED = "the_runner_that_a_pipeline_of_edgetune_has_to_name"

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder of what is made once, in the process that starts the workers."""
    if not hasattr(config, "workerinput"):
        os.environ[session.VARIABLE] = tempfile.mkdtemp(prefix="edgetune-tests-")
    child_process.start = fork_server.start
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a shell's background job: children would ignore it, too
        signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.disable()  # importing TFX makes no garbage, and a collection goes through millions of objects


def pytest_collection_finish() -> None:
    """Leave what was imported out of all later collections."""
    gc.freeze()
    gc.enable()


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(session.VARIABLE, ""), ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Have the libraries do less, and take Beam's default away: since 2.68 it is a binary to be had on the network."""
    if "tensorflow" in sys.modules:
        loaded_models.remember()
    if "apache_beam" in sys.modules:
        from apache_beam.options.pipeline_options import StandardOptions

        StandardOptions.DEFAULT_RUNNER = UNNAMED
        beam_introspection.remember()


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the root of the repository."""
    return ROOT
