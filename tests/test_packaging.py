"""What pip installs: the wheel, the source distribution, the extras and errors that name them."""

import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile

import pytest
import yaml

import keras_pvt
from keras_pvt.formats import EXTRAS, FORMATS
from keras_pvt.utils import extras

pytestmark = pytest.mark.one_backend("what pip installs")

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Of the repository, what a build reads.
SOURCES = ("pyproject.toml", "MANIFEST.in", "README.md", "CHANGELOG.md", "LICENSE", "NOTICE")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folder with a wheel and a source distribution, built from a copy, without a network."""
    copy = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "keras_pvt", copy / "keras_pvt", ignore=ignored)
    (copy / "tests").mkdir()
    shutil.copy(__file__, copy / "tests")  # which setuptools would take
    for name in SOURCES:
        shutil.copy(ROOT / name, copy)
    code = "from setuptools import build_meta as b; b.build_wheel('out'); b.build_sdist('out')"
    (copy / "out").mkdir()
    done = subprocess.run([sys.executable, "-c", code], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return copy / "out"


def _package_files():
    files = (path for path in (ROOT / "keras_pvt").rglob("*") if path.is_file())
    return {path.relative_to(ROOT).as_posix() for path in files if path.suffix != ".pyc"}


def test_the_wheel_holds_the_package_and_no_more(built):
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        (entry_points,) = (name for name in names if name.endswith("/entry_points.txt"))
        assert "keras-pvt = keras_pvt.cli:main" in wheel.read(entry_points).decode()
    assert {name for name in names if ".dist-info/" not in name} == _package_files()
    assert "keras_pvt/py.typed" in names
    assert any(name.endswith("/recipes/classifiers/finetune.toml") for name in names)


def test_the_source_distribution_holds_what_a_build_needs(built):
    """No tests: they need documents, examples and tools."""
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        files = (member.name for member in archive.getmembers() if member.isfile())
        names = {name.split("/", 1)[1] for name in files}
    made = {name for name in names if ".egg-info/" in name} | {"PKG-INFO", "setup.cfg"}
    assert names - made == _package_files() | set(SOURCES)


def test_only_two_extras_name_a_tensorflow():
    naming = {
        name
        for name, requirements in PROJECT["optional-dependencies"].items()
        if any(re.match(r"tensorflow(-cpu)?\b(?!-)", text) for text in requirements)
    }
    assert naming == {"tensorflow", "tensorflow-cpu"}


def test_each_package_that_exports_is_in_the_extra_that_errors_name():
    for format in FORMATS.values():
        packages = [*format.writers, format.runtime]
        for more in (*format.writers.values(), *format.quantizations.values()):
            packages += more
        for package in packages:
            requirements = PROJECT["optional-dependencies"][EXTRAS[package]]
            names = [re.split(r"[<>=]", text)[0] for text in requirements]
            assert package.replace("_", "-") in names, package


def test_tensorflow_is_not_installed_over_another(monkeypatch):
    """tensorflow and tensorflow-cpu have the same files."""
    assert extras.install_command("onnx", "tensorflow") == 'pip install "keras-pvt[onnx]"'
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    command = extras.install_command("onnx", "tensorflow")
    assert command.startswith('pip install "keras-pvt[onnx,tensorflow]" (or tensorflow-cpu')


@pytest.mark.parametrize("extra", ["tensorflow", "keras_hub"])
def test_who_is_told_to_install_tensorflow_is_told_what_it_changes(extra, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert "KERAS_BACKEND" not in extras.install_command(extra)  # it is here already
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    change = "TensorFlow then is the backend, unless KERAS_BACKEND=torch is set)"
    assert extras.install_command(extra).endswith(change)
    assert "KERAS_BACKEND" not in extras.install_command("onnx")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    assert "KERAS_BACKEND" not in extras.install_command(extra)


def test_extras_are_quoted_for_every_shell():
    """cmd knows no single quotes, and zsh takes brackets without any for a pattern."""
    shown = 0
    for file in [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("keras_pvt/**/*.py"),
    ]:
        for before in re.findall(r"(.)keras-pvt\[", file.read_text()):
            assert before in '"`', file  # or it is code in prose
            shown += 1
    assert shown > 10


def test_the_citation_is_the_readmes():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    paper, package = re.findall(r"^@\w+\{(.*?)^\}", (ROOT / "README.md").read_text(), re.M | re.S)
    field = re.compile(r"(\w+) += \{(.*?)\}[,\n]", re.S)
    fields = [
        {key: " ".join(value.split()) for key, value in field.findall(entry)}
        for entry in (paper, package)
    ]
    (reference,) = cited["references"]
    names = [f"{one['family-names']}, {one['given-names']}" for one in reference["authors"]]
    assert len(names) == 9
    assert fields[0]["author"] == " and ".join(names)
    assert fields[0]["title"] == reference["title"]
    assert fields[0]["year"] == str(reference["year"])
    assert fields[0]["pages"] == f"{reference['start']}--{reference['end']}"
    assert fields[1]["version"] == cited["version"] == keras_pvt.__version__
    assert fields[1]["title"].replace("\\", "") == cited["title"]


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    wanted = r'^training DETR needs scipy: pip install "keras-pvt\[detection\]"$'
    with pytest.raises(ImportError, match=wanted), extras.needed_for("training DETR", "detection"):
        import scipy.optimize  # noqa: F401


def test_an_import_that_fails_otherwise_is_not_taken_for_a_missing_package():
    with pytest.raises(ImportError, match=r"^cannot open"), extras.needed_for("drawing", "plot"):
        raise ImportError("cannot open shared object file")


@pytest.mark.parametrize(
    ("installed", "wanted", "message"),
    [
        ((), None, r'none is installed: pip install "keras-pvt\[jax\]", or \[torch\]'),
        (("jax",), "torch", r"'torch', which is not installed: pip .*torch.*installed: jax$"),
        (("jax",), "numpy", "'numpy', but keras_pvt runs on tensorflow, jax, torch; .*: jax$"),
    ],
)
def test_no_backend_to_run_on(installed, wanted, message, tmp_path, monkeypatch, capsys):
    """Help is shown all the same."""
    code = (
        "import importlib.util as util, sys\n"
        "find = util.find_spec; backends = {'tensorflow', 'jax', 'torch'}\n"
        f"gone = backends - set({installed})\n"
        "util.find_spec = lambda name, *rest: None if name in gone else find(name, *rest)\n"
        "sys.argv[0] = 'keras-pvt'\n"
        "from keras_pvt.cli import main\n"
        "sys.exit(main())\n"
    )
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if wanted is not None:
        monkeypatch.setenv("KERAS_BACKEND", wanted)

    def run(*words):
        return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)

    assert run("--help").returncode == 0
    for words in (["convert", "a.pth", "b.npz"], ["train", "finetune"]):
        done = run(*words)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert re.search(message, done.stderr.strip()), done.stderr


@pytest.mark.parametrize("name", ["keras", "numpy", "jax", "tensorflow", "torch"])
def test_lower_bounds_are_what_is_tested(name):
    """`make test-oldest` runs on the versions that pyproject.toml allows at least."""
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints-oldest.txt").read_text().splitlines()
        if "==" in line
    )
    optional = PROJECT["optional-dependencies"]
    (bound,) = (
        match[1]
        for text in [*PROJECT["dependencies"], *optional.get(name, [])]
        if (match := re.match(rf"{name}>=([\d.]+)", text))
    )
    assert (pins[name] + ".").startswith(bound + ".")
