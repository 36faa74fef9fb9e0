"""A Flink cluster for the tests of a file; failed tests name its logs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.environments import Unavailable
from tests.engine.cluster import Cluster, Memory


@pytest.fixture(scope="module")
def memory() -> Memory:
    """Return the memory of the cluster: enough for graphs of some dozen stages. A module may override it."""
    return Memory(network=256)


@pytest.fixture(scope="module")  # not of the session: an idle cluster takes a tenth of a processor
def cluster(memory: Memory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Run a cluster with two slots and two Python workers, or skip the test if that is not possible."""
    running = Cluster(tmp_path_factory.mktemp("flink"), memory=memory)
    try:
        running.__enter__()
    except Unavailable as error:
        pytest.skip(str(error))
    try:
        yield running
    finally:
        running.__exit__(None, None, None)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    running = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and isinstance(running, Cluster):
        report.sections.append(("logs of the Flink cluster", str(running.folder)))
