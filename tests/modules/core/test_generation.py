"""Each difference between the TFX generations exists, and only in the generation that the code assumes."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import kfp_server_api

from edgetune.modules.core import generation
from tests.helpers import crafted_parquet


def test_the_generation_matches_the_installed_tfx():
    assert metadata.version("tfx").startswith("1.16." if generation.TFX_116 else "1.21.")


def test_the_health_check_method_has_the_name_of_its_generation():
    service = kfp_server_api.HealthzServiceApi(kfp_server_api.ApiClient())
    name = "get_healthz" if generation.TFX_116 else "healthz_service_get_healthz"
    assert generation.health_check(service) == getattr(service, name)
    assert hasattr(service, "get_healthz") == generation.TFX_116


def test_the_guard_stops_the_old_pyarrow_from_running_code(tmp_path, root):
    columns = {"path": ["a.jpg"], "label": ["oak"]}
    path = crafted_parquet.write(tmp_path / "list.parquet", columns, "path", f"touch {tmp_path}/ran")
    read = f"from pyarrow import parquet; parquet.ParquetFile({str(path)!r}).schema_arrow"
    guarded = f"from edgetune.modules.core.generation import guard_arrow; guard_arrow(); {read}"
    for code, runs in ((guarded, False), (read, generation.TFX_116)):
        subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=False)
        assert (tmp_path / "ran").exists() == runs, code
