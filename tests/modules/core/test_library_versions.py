"""Library versions in cache keys and in lineage."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import subprocess
import sys
from importlib import metadata

import pytest

from edgetune.modules.core import library_versions as module
from edgetune.modules.core.errors import ConfigError
from edgetune.modules.core.library_versions import IMAGE_LOCK, image_versions, library_versions, record


def test_versions_are_the_installed_ones_and_null_for_missing_libraries():
    found = json.loads(library_versions(["tensorflow", "no-such-library", "Pillow"]))
    assert found == {
        "Pillow": metadata.version("pillow"),
        "no-such-library": None,
        "tensorflow": metadata.version("tensorflow"),
    }


def test_the_order_of_libraries_does_not_matter():
    assert library_versions(["numpy", "keras"]) == library_versions(["keras", "numpy"])
    assert "\\" not in library_versions(["numpy"])  # ML Metadata on PostgreSQL rejects backslashes


def test_a_record_includes_edgetune_tfx_and_python():
    found = json.loads(record(["numpy"]))
    assert set(found) == {"edgetune", "numpy", "python", "tfx"}
    assert (found["tfx"], found["python"]) == (metadata.version("tfx"), platform.python_version())


def test_no_library_is_imported_to_get_its_version():
    asked = "from edgetune.modules.core.library_versions import record; record(['tensorflow', 'keras', 'pillow'])"
    code = f"import sys; {asked}; print(*{{'tensorflow', 'keras', 'PIL', 'tfx'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_image_is_identified_by_its_lock_file(root, monkeypatch, tmp_path):
    content = (root / IMAGE_LOCK).read_bytes()
    assert json.loads(image_versions()) == {IMAGE_LOCK: hashlib.sha256(content).hexdigest()}
    monkeypatch.setattr(module, "ROOT", tmp_path)
    with pytest.raises(ConfigError, match=r"tfx121\.txt: cannot be read") as caught:
        image_versions()
    assert caught.value.remedy == "reinstall edgetune"
    (tmp_path / IMAGE_LOCK).parent.mkdir()
    (tmp_path / IMAGE_LOCK).write_bytes(content + b"# edited\n")
    assert json.loads(image_versions()) != {IMAGE_LOCK: hashlib.sha256(content).hexdigest()}


def test_the_image_lock_is_that_of_the_install_script_and_is_in_the_wheel(root):
    script = (root / "scripts" / "install_in_image.sh").read_text(encoding="utf-8")
    assert re.findall(r"^lock=(.+)$", script, re.MULTILINE) == [IMAGE_LOCK]
    import setuptools

    kept: dict[str, dict] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", kept.update)
        exec(compile((root / "setup.py").read_text(encoding="utf-8"), "setup.py", "exec"), {"__name__": "setup"})
    folder, name = IMAGE_LOCK.split("/")
    package = f"edgetune.{folder}"
    assert package in kept["packages"] and kept["package_data"][package] == [name]
