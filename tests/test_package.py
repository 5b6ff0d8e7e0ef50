"""The package as a whole: what an import costs, which way imports point, documents."""

import ast
import json
import os
import pathlib
import subprocess
import sys

import keras
import pytest

import keras_pvt

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "keras_pvt"

# Folder or module of the package -> what it may import of the rest.
MAY_IMPORT = {
    "variants": set(),
    "preprocessing": {"variants"},
    "ops": set(),
    "layers": {"ops"},
    "models": {"layers", "ops", "preprocessing", "variants", "weights"},
    "detection": {
        "conversion",
        "image_files",
        "images",
        "layers",
        "models",
        "ops",
        "pictures",
        "problems",
        "resizing",
        "trained_files",
        "training",
        "variants",
    },
    "conversion": {"detection", "models", "ops", "segmentation", "variants"},
    "exporting": {
        "conversion",
        "detection",
        "image_files",
        "images",
        "layers",
        "models",
        "ops",
        "preprocessing",
        "segmentation",
        "trained_files",
        "variants",
        "weights",
    },
    "segmentation": {
        "image_files",
        "images",
        "layers",
        "models",
        "ops",
        "pictures",
        "preprocessing",
        "problems",
        "resizing",
        "trained_files",
        "training",
        "variants",
    },
    "resizing": set(),
    "trained_files": {"conversion"},
    "download": {"conversion", "variants"},
    "flops": {"variants"},
    "attention_maps": {"layers", "variants"},
    "drawing": {"attention_maps", "conversion"},
    "hub": {"layers", "models", "preprocessing"},
    "training": {
        "conversion",
        "image_files",
        "images",
        "models",
        "ops",
        "preprocessing",
        "trained_files",
        "variants",
    },
    "image_files": {"images"},
    "prediction": {"conversion", "image_files", "images", "models", "variants", "weights"},
}

# Modules that nothing imports unless the library is in use.
IMPORTED_WHERE_THERE = {
    "ops/on_jax.py": {"jax"},
    "ops/on_tensorflow.py": {"tensorflow"},
    "ops/on_torch.py": {"torch"},
    "exporting/on_tensorflow.py": {"tensorflow"},
    "exporting/on_torch.py": {"torch"},
    "hub.py": {"keras_hub"},
    "training/distribution/on_jax.py": {"jax"},
    "training/distribution/on_tensorflow.py": {"tensorflow"},
    "training/distribution/on_torch.py": {"torch"},
    "training/distribution/replica.py": {"torch"},
}


def imported_parts(file: pathlib.Path) -> set[str]:
    """Parts of keras_pvt that a file imports: `keras_pvt.layers.base` is "layers"."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    own = {name.split(".")[1] for name in names if name.startswith("keras_pvt.")}
    return {part for part in own if (PACKAGE / part).exists() or (PACKAGE / f"{part}.py").exists()}


def test_imports_point_one_way():
    for part, allowed in MAY_IMPORT.items():
        folder = PACKAGE / part
        files = folder.rglob("*.py") if folder.is_dir() else [PACKAGE / f"{part}.py"]
        for file in files:
            assert imported_parts(file) <= allowed | {part}, file


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


def test_public_names_exist_and_are_documented():
    for name in keras_pvt.__all__:
        assert getattr(keras_pvt, name).__doc__, name
    for name in keras_pvt.layers.__all__:
        layer = getattr(keras_pvt.layers, name)
        assert keras.saving.get_registered_name(layer) == f"keras_pvt>{name}"
        assert "Returns:" in layer.__doc__ or "`(B" in layer.__doc__, name


def test_tables_of_documents_are_current():
    subprocess.run([sys.executable, ROOT / "tools" / "make_tables.py", "--check"], check=True)


def test_documents_link_to_files_that_exist():
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        prose = "".join(document.read_text().split("```")[::2])  # no code
        for part in prose.split("](")[1:]:
            target = part.split(")")[0].split("#")[0]
            if target and "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"
