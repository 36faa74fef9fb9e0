"""No code of edgetune calls a function that runs what is in a file, but where docs/security.md says so."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

UNSAFE = {
    "eval", "exec", "compile", "__import__",
    "pickle.load", "pickle.loads", "pickle.Unpickler", "cPickle.load", "marshal.load", "marshal.loads", "shelve.open",
    "dill.load", "dill.loads", "cloudpickle.load", "cloudpickle.loads", "joblib.load", "torch.load",
    "pd.read_pickle", "pandas.read_pickle", "np.load", "numpy.load",
    "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.Loader", "yaml.UnsafeLoader",
    "yaml.FullLoader",
    "keras.models.load_model", "keras.saving.load_model", "tf.keras.models.load_model", "load_model",
    "keras.models.model_from_json", "keras.config.enable_unsafe_deserialization", "tf.saved_model.load",
    "tf.compat.v1.saved_model.load", "tf.load_op_library", "tf.load_library", "hub.load", "hub.KerasLayer",
    "os.system", "os.popen", "runpy.run_path", "runpy.run_module",
    "tarfile.open", "shutil.unpack_archive", "zipfile.ZipFile.extractall",
}  # fmt: skip
"""Calls that run code in a file, or write outside the folder that was meant."""
ALLOWED = {
    # The pipeline's own SavedModel: the digests that earlier components recorded are compared before.
    ("modules/evaluation/edge.py", "tf.saved_model.load"),
    # The same, in a child process with bounds on memory and time.
    ("modules/serving/infra_probe.py", "tf.saved_model.load"),
    ("modules/serving/isolated_saved_model.py", "tf.saved_model.load"),
}


def dotted(node: ast.expr) -> str:
    """Return the name of an expression such as `tf.saved_model.load`; empty if it is none."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}".lstrip(".")
    return node.id if isinstance(node, ast.Name) else ""


def found_in(source: str) -> Iterator[str]:
    """Yield the unsafe calls and names of a module, as they are written, and shells."""
    tree = ast.parse(source)
    names = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
        for alias in node.names
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        first, _, rest = name.partition(".")
        full = names.get(first, first) + (f".{rest}" if rest else "")
        keywords = {word.arg: word.value for word in node.keywords}
        constants = {arg: value.value for arg, value in keywords.items() if isinstance(value, ast.Constant)}
        if name in ("np.load", "numpy.load") and constants.get("allow_pickle") is False:
            continue
        if name in UNSAFE or full in UNSAFE or name.endswith((".extractall", ".extract")):
            yield name
        if (
            constants.get("shell") is True
            or constants.get("allow_pickle") is True
            or constants.get("safe_mode") is False
        ):
            yield f"{name}({', '.join(map(str, constants))})"


def test_no_loader_runs_what_is_in_a_file(root):
    calls = set()
    for floor in ("modules", "components", "pipeline", "weights", "scripts"):
        for path in sorted((root / floor).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            calls |= {(name, call) for call in found_in(path.read_text(encoding="utf-8"))}
    assert calls == ALLOWED


@pytest.mark.parametrize(
    ("source", "call"),
    [
        ("import pickle\npickle.loads(x)", "pickle.loads"),
        ("from pickle import loads\nloads(x)", "loads"),
        ("from keras.saving import load_model as open_it\nopen_it(x)", "open_it"),
        ("import numpy as np\nnp.load(x)", "np.load"),
        ("import numpy as np\nnp.load(x, allow_pickle=True)", "np.load"),
        ("import yaml\nyaml.load(x, yaml.SafeLoader)", "yaml.load"),
        ("archive.extractall(folder)", "archive.extractall"),
        ("subprocess.run(x, shell=True)", "subprocess.run(shell)"),
        ("eval(x)", "eval"),
    ],
)
def test_an_unsafe_loader_is_found(source, call):
    assert call in set(found_in(source))


def test_a_safe_loader_is_not_found():
    source = "import numpy as np, json, re\nnp.load(x, allow_pickle=False)\njson.loads(x)\nre.compile(x)\nmodel.eval()"
    assert set(found_in(source)) == set()


def test_the_exceptions_are_in_the_documentation(root: Path):
    text = (root / "docs" / "security.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name, _ in ALLOWED)
