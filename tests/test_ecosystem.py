"""PVT in keras-cv and KerasHub: every task of the table in docs/detectors.md, tried."""

import importlib
import inspect
import json
import os
import pathlib
import re
import subprocess
import sys

import keras
import pytest

pytestmark = pytest.mark.full("trains every task of two libraries")

TOOLS = pathlib.Path(__file__).parents[1] / "tools"
sys.path.insert(0, str(TOOLS))
ecosystem = importlib.import_module("ecosystem")
LIBRARIES = ("keras_cv", "keras_hub")
DETECTORS = {"keras_cv": "RetinaNet", "keras_hub": "RetinaNetObjectDetector"}


@pytest.fixture(
    scope="module",
    params=["pvt", pytest.param("pvt_v2", marks=pytest.mark.one_backend("as PVT"))],
)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def folder(family, tmp_path_factory):
    """What `tools/ecosystem.py` leaves, of both libraries, side by side."""
    out = tmp_path_factory.mktemp("ecosystem")
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    for options in (["--family", family], ["--reload"]):
        runs = [
            subprocess.Popen(
                [sys.executable, TOOLS / "ecosystem.py", name, "--out", out / name, *options],
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for name in LIBRARIES
        ]
        for run in runs:
            log, _ = run.communicate()
            assert run.returncode == 0, log
    return out


@pytest.fixture(scope="module")
def results(folder):
    return {name: json.loads((folder / name / "results.json").read_text()) for name in LIBRARIES}


@pytest.mark.parametrize("task", ecosystem.TASKS, ids=lambda task: f"{task.library}-{task.name}")
def test_task_does_what_the_table_says(task, results):
    if keras.backend.backend() in task.slow:
        pytest.skip("takes long to compile; tools/ecosystem.py --slow tries it")
    result = results[task.library][task.name]
    if keras.backend.backend() in task.fails:
        step, error, _ = task.fails[keras.backend.backend()]
        assert result["step"] == step
        assert error in result["error"]
    else:
        assert result["error"] is None, f"fails at {result['step']}"
        assert result["still"] == [], "no gradient reaches these"
        assert result["difference"] == 0


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_frozen_backbone_stays(library, results):
    frozen = results[library]["frozen"]
    assert not frozen["moved"]
    assert frozen["learnt"] > 0.8


@pytest.mark.parametrize("library", LIBRARIES)
def test_sides_that_are_not_multiples_of_32_are_refused(library, family, results):
    """Twice the cells of one level are not those of the next."""
    cells = {"pvt": r"\b13\b.*\b12\b", "pvt_v2": r"\b7\b.*\b8\b"}
    assert re.search(cells[family], results[library]["frozen"]["odd size"])


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_saved_detector_answers_alike_in_a_fresh_process(library, folder):
    differences = json.loads((folder / library / "reload.json").read_text())
    assert differences == {DETECTORS[library]: 0}


@pytest.mark.parametrize("library", LIBRARIES)
def test_detectors_take_images_of_another_size_but_on_tensorflow(library, results):
    """There the libraries' anchors want sizes that are known while the graph is traced."""
    sizes = results[library][DETECTORS[library]]["sizes"]
    assert sizes == (keras.backend.backend() != "tensorflow")


@pytest.mark.parametrize("library", LIBRARIES)
def test_no_task_is_left_out(library):
    models = pytest.importorskip(library).models
    takers = {
        name
        for name, cls in inspect.getmembers(models, inspect.isclass)
        if {"backbone", "image_encoder"} & set(inspect.signature(cls.__init__).parameters)
    }
    named = {task.name for task in ecosystem.TASKS if task.library == library}
    named |= set(ecosystem.OTHERS[library])
    assert named - takers <= {"PARSeqBackbone"}
    if library == "keras_hub":  # whose tasks of text take a backbone, too
        encoders = {getattr(models, name).backbone_cls for name in named if "Backbone" not in name}
        named |= {cls.__name__ for cls in encoders if cls is not None}
        takers = {name for name in takers if takes_image_encoder(getattr(models, name))}
    assert takers <= named


def takes_image_encoder(cls):
    return "image_encoder" in inspect.signature(cls.__init__).parameters
