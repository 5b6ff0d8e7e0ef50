"""The package as a whole: what an import costs, which way imports point, documents."""

import ast
import graphlib
import importlib
import json
import os
import pathlib
import re
import subprocess
import sys

import keras
import pytest

import keras_pvt
from keras_pvt.detection import DETRPostprocessor
from keras_pvt.detection.ops.pyramid_decoder import PyramidDecoder
from keras_pvt.variants import VARIANTS

pytestmark = pytest.mark.one_backend("reads the source, and starts processes of every backend")

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "keras_pvt"

# Folder or module at the top of the package -> what it may import of those above it.
MAY_IMPORT: dict[str, set[str]] = {
    "records": set(),
    "families": {"records"},
    "systems": {"records"},
    "ops": set(),
    "variants": {"families"},
    "layers": {"ops", "variants"},
    "flops": {"families", "variants"},
    "utils": {"variants"},
    "formats": {"utils"},
    "runtimes": set(),
    "default_backend": {"utils"},
    "strategies": set(),
    "recipes": {"systems", "utils", "variants"},
    "conversion": {"families", "ops", "systems", "utils", "variants"},
    "download": {"conversion", "families", "utils", "variants"},
    "weights": {"conversion", "download", "variants"},
    "inspection": {"conversion", "download", "families", "systems", "utils", "variants"},
    "models": {"conversion", "families", "layers", "systems", "utils", "variants", "weights"},
    "hub": {"conversion", "families", "layers", "models", "systems", "utils", "variants"},
    "training": {
        "models", "ops", "recipes", "strategies", "systems", "utils", "variants", "weights",
    },
    "segmentation": {"layers", "models", "ops", "recipes", "training", "utils", "variants"},
    "detection": {
        "layers", "models", "ops", "recipes", "systems", "training", "utils", "variants",
    },
    "classification": {
        "conversion", "families", "layers", "models", "recipes", "training", "utils", "variants",
        "weights",
    },
    "exporting": {
        "classification", "conversion", "detection", "families", "formats", "layers", "models",
        "ops", "runtimes", "systems", "utils", "variants", "weights",
    },
    "engines": {
        "classification", "conversion", "default_backend", "detection", "download", "exporting",
        "formats", "models", "ops", "runtimes", "segmentation", "utils", "variants",
    },
    "evaluation": {
        "classification", "detection", "exporting", "inspection", "models", "ops", "runtimes",
        "segmentation", "systems", "training", "utils", "variants",
    },
    "registration": {
        "default_backend", "detection", "exporting", "layers", "models", "segmentation", "training",
    },
    "app": {
        "classification", "detection", "evaluation", "exporting", "formats", "ops", "segmentation",
        "utils", "variants",
    },
    "batch": {
        "classification", "default_backend", "detection", "download", "engines", "families",
        "models", "segmentation", "utils", "variants", "weights",
    },
    "cli": {
        "app", "batch", "classification", "conversion", "default_backend", "detection", "engines",
        "evaluation", "exporting",
        "families", "flops", "formats", "inspection", "models", "ops", "recipes", "registration",
        "segmentation", "strategies", "systems", "training", "utils", "variants",
    },
    "__main__": {"cli"},
}  # fmt: skip

# Modules that nothing imports unless the library is in use.
IMPORTED_WHERE_THERE = {
    "ops/on_jax.py": {"jax"},
    "ops/windows_on_jax.py": {"jax"},
    "ops/on_tensorflow.py": {"tensorflow"},
    "ops/on_torch.py": {"torch"},
    "exporting/on_tensorflow.py": {"tensorflow"},
    "exporting/on_torch.py": {"torch"},
    "hub/members.py": {"keras_hub"},
    "training/distribution/on_jax.py": {"jax"},
    "training/distribution/on_tensorflow.py": {"tensorflow"},
    "training/distribution/on_torch.py": {"torch"},
    "training/distribution/replica.py": {"torch"},
    "training/profiling/on_jax.py": {"jax"},
    "training/profiling/on_tensorflow.py": {"tensorflow"},
    "training/profiling/on_torch.py": {"torch"},
}


def import_graph() -> dict[str, set[str]]:
    """For each module of the package those that it imports, inside functions too."""
    files = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
        for file in PACKAGE.rglob("*.py")
    }
    graph = {}
    for module, file in files.items():
        names = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                whole = {f"{node.module}.{alias.name}" for alias in node.names}
                names |= {name if name in files else node.module for name in whole}
        graph[module] = names & files.keys() - {module}
    return graph


def test_imports_go_one_way():
    """No module reaches itself by what it imports; `graphlib` names the circle."""
    tuple(graphlib.TopologicalSorter(import_graph()).static_order())


def test_rooms_import_what_they_may():
    """The table is in an order in which none of them reaches itself, and they keep to it."""
    rooms: dict[str, set[str]] = {}
    for module, imported in import_graph().items():
        room, *others = (f"{name}.".split(".")[1] for name in (module, *imported))
        rooms.setdefault(room, set()).update(set(others) - {room, ""})
    rooms.pop("")  # the package itself: it imports what it offers, and the command its version
    assert rooms.keys() == MAY_IMPORT.keys()
    for n, (room, allowed) in enumerate(MAY_IMPORT.items()):
        assert allowed <= set(list(MAY_IMPORT)[:n]), room
        assert rooms[room] <= allowed, room


def test_only_ops_asks_for_the_backend_and_nobody_needs_one():
    for file in PACKAGE.rglob("*.py"):
        text = file.read_text()
        if file.parent.name != "ops":
            assert "backend.backend()" not in text, file
        assert "keras.src" not in text, file
        for node in ast.parse(text).body:  # module level only
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [a.name for a in node.names] + [getattr(node, "module", None) or ""]
                roots = {name.split(".")[0] for name in names}
                roots -= IMPORTED_WHERE_THERE.get(str(file.relative_to(PACKAGE)), set())
                assert not roots & {"torch", "tensorflow", "jax", "keras_cv", "keras_hub"}, file


def test_import_loads_no_other_backend_and_nothing_heavy():
    code = (
        "import sys, json, keras; before = set(sys.modules); import keras_pvt;"
        "print(json.dumps(sorted({m.split('.')[0] for m in set(sys.modules) - before})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    backends = {"jax", "tensorflow", "torch"} - {keras.backend.backend()}
    assert not loaded & (backends | {"requests", "rich", "matplotlib", "safetensors", "filelock"})


@pytest.mark.parametrize(
    ("missing", "configured", "expected"),
    [
        ("tensorflow", None, "jax"),
        ("tensorflow jax", "tensorflow", "torch"),
        ("", "torch", "torch"),
    ],
)
def test_what_is_installed_is_taken(missing, configured, expected, tmp_path):
    code = (
        "import importlib.util as util; find = util.find_spec;"
        f"util.find_spec = lambda name, *rest: name not in {missing.split()} and find(name, *rest);"
        "from keras_pvt.ops import BACKEND; print(BACKEND)"
    )
    if configured is not None:
        (tmp_path / "keras.json").write_text(json.dumps({"backend": configured}))
    env = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=env | {"KERAS_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split()[-1] == expected


def test_registered_names_stay():
    """Files of version 0.1.0 name classes so, whatever they are called by now."""
    for name in keras_pvt.layers.__all__:
        layer = getattr(keras_pvt.layers, name)
        assert keras.saving.get_registered_name(layer) == f"keras_pvt>{name}"
    for name, cls in (("BestQueries", DETRPostprocessor), ("PyramidCandidates", PyramidDecoder)):
        assert keras.saving.get_registered_name(cls) == f"keras_pvt>{name}"
        assert keras.saving.get_registered_object(f"keras_pvt>{name}") is cls


def test_variants_are_listed_by_family():
    assert keras_pvt.list_variants() == list(VARIANTS)
    pvt = keras_pvt.list_variants("pvt")
    assert {"pvt_nano", "pvt_tiny"} <= set(pvt)
    assert all(VARIANTS[name].family == "pvt" for name in pvt)
    with pytest.raises(ValueError, match=r"'resnet'; there are pvt"):
        keras_pvt.list_variants("resnet")


def test_tables_of_documents_are_current():
    subprocess.run([sys.executable, ROOT / "tools" / "make_tables.py", "--check"], check=True)


def test_documents_link_to_what_exists():
    """Files, and headings in them by the names that GitHub gives them."""
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        prose = "".join(document.read_text().split("```")[::2])  # no code
        for part in prose.split("](")[1:]:
            target, _, heading = part.split(")")[0].partition("#")
            if "://" in target:
                continue
            file = document.parent / target if target else document
            assert file.exists(), f"{document.name}: {target}"
            assert not heading or heading in _headings(file), f"{document.name}: {target}#{heading}"


def _headings(file: pathlib.Path) -> set[str]:
    prose = "".join(file.read_text().split("```")[::2])
    titles = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


PROGRAMS = [
    path for folder in ("benchmarks", "examples", "tools") for path in (ROOT / folder).glob("*.py")
]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_programs_import_what_the_package_has(path):
    """Most are run by hand only, long after a name has moved."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        if node.module.split(".")[0] == "keras_pvt":
            module = importlib.import_module(node.module)
            for name in (alias.name for alias in node.names):
                if not hasattr(module, name):
                    importlib.import_module(f"{node.module}.{name}")
