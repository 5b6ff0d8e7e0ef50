"""Try the tasks of keras-cv and KerasHub with a small PVT.

KERAS_BACKEND=torch python tools/ecosystem.py keras_cv --out results   # JSON and .keras files
KERAS_BACKEND=jax python tools/ecosystem.py keras_hub --out results --family pvt_v2

`tasks.TASKS` says what is expected. The table in docs/detectors.md is made from it, and
tests/test_ecosystem.py holds it against what happens.
"""

import argparse
import json
import pathlib

import keras
import numpy as np
from tasks import BACKENDS, BOXES, IMAGES, LABELS, OTHERS, TASKS, Task, common, small_backbone

from keras_pvt.detection.libraries import LABEL_KEYS, retinanet


def run(task: Task, folder: pathlib.Path) -> dict:
    """Build, train for a step, predict, save and load a task.

    Returns:
        "step" and "error" of what failed, both None if nothing did; "still": weights of the PVT
        that did not move; "difference": largest one between weights before saving and after
        loading; "sizes": whether a model of open size takes a second one. The saved model stays
        in the folder, with its predictions.
    """
    result: dict = dict.fromkeys(("step", "error", "still", "difference", "sizes"))
    keras.utils.set_random_seed(5)
    try:
        result["step"] = "build"
        built = task.build()
        result["step"] = "fit"
        before = [as_numpy(variable) for variable in built.backbone.trainable_variables]
        built.fit()
        after = [as_numpy(variable) for variable in built.backbone.trainable_variables]
        result["still"] = [
            variable.path
            for variable, old, new in zip(
                built.backbone.trainable_variables, before, after, strict=True
            )
            if np.array_equal(old, new) or not np.isfinite(new).all()
        ]
        result["step"] = "predict"
        answer = predictions(built.model)
        result["step"] = "save"
        file = folder / f"{task.name}.keras"
        built.model.save(file)
        np.savez(file.with_suffix(".npz"), *answer)
        result["step"] = "load"
        loaded = keras.saving.load_model(file)
        result["difference"] = max(
            np.abs(as_numpy(a) - as_numpy(b)).max()
            for a, b in zip(built.model.weights, loaded.weights, strict=True)
        ).item()
        result["step"] = None
    except Exception as error:
        result["error"] = f"{type(error).__name__}: {error}"
        return result
    if None in built.backbone.input_shape[1:]:
        try:
            built.model.predict(IMAGES.transpose(0, 2, 1, 3), verbose=0)
            result["sizes"] = True
        except Exception:
            result["sizes"] = False
    return result


def reload(folder: pathlib.Path) -> dict[str, float]:
    """Largest difference of a saved model's predictions to those it was saved with, by name."""
    differences = {}
    for file in folder.glob("*RetinaNet*.keras"):
        answer = predictions(keras.saving.load_model(file, safe_mode=True))
        with np.load(file.with_suffix(".npz")) as saved:
            differences[file.stem] = max(
                float(np.abs(a - b).max()) for a, b in zip(answer, saved.values(), strict=True)
            )
    return differences


def run_frozen(library: str) -> dict:
    """Train the detector of a library for a step, its backbone frozen.

    Returns:
        "moved": whether weights of the backbone moved; "learnt": share of the others that did;
        "odd size": what it says to images of 72x104, of which P4 has 4x6 cells and P3 9x13.
    """
    backbone = small_backbone(input_shape=(None, None, 3))
    backbone.trainable = False
    model, losses = retinanet(library, backbone, 3)
    model.compile(optimizer="adam", run_eagerly=keras.backend.backend() != "jax", **losses)
    before, others = [as_numpy(v) for v in backbone.weights], model.trainable_variables
    old = [as_numpy(v) for v in others]
    model.fit(IMAGES, {"boxes": BOXES, LABEL_KEYS[library]: LABELS}, verbose=0)
    same = [np.array_equal(a, as_numpy(v)) for a, v in zip(before, backbone.weights, strict=True)]
    learnt = [not np.array_equal(a, as_numpy(v)) for a, v in zip(old, others, strict=True)]
    odd, error = np.zeros((2, 72, 104, 3), "float32"), ""
    try:
        model.predict({"images": odd} if library == "keras_cv" else odd, verbose=0)
    except Exception as caught:
        error = str(caught)
    return {"moved": not all(same), "learnt": float(np.mean(learnt)), "odd size": error}


def as_numpy(variable) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(variable.value))


def predictions(model: keras.Model) -> list[np.ndarray]:
    return [np.asarray(x) for x in keras.tree.flatten(model.predict(IMAGES, verbose=0))]


def table() -> str:
    """What is expected, as Markdown."""
    rows = [["library", "task", *BACKENDS.values(), "note"], ["---"] * 6]
    for library, others in OTHERS.items():
        for task in TASKS:
            if task.library == library:
                answers = ["no" if backend in task.fails else "yes" for backend in BACKENDS]
                rows.append([library, f"`{task.name}`", *answers, note(task)])
        for why in dict.fromkeys(others.values()):
            names = ", ".join(f"`{name}`" for name in others if others[name] == why)
            rows.append([library, names, "no", "no", "no", why])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def note(task: Task) -> str:
    """What a user has to know of a task, and why it fails where it does."""
    if set(task.fails) == set(BACKENDS):
        return task.fails["jax"][2]
    notes = [f"{BACKENDS[backend]} {reason}" for backend, (_, _, reason) in task.fails.items()]
    return "; ".join([task.note] * bool(task.note) + notes)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("library", choices=("keras_cv", "keras_hub"))
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="FOLDER")
    parser.add_argument(
        "--reload", action="store_true", help="ask the detectors that a run has left again"
    )
    parser.add_argument(
        "--family", choices=common.SMALL, default=common.family, help="of the backbone (pvt)"
    )
    parser.add_argument("--slow", action="store_true", help="also what takes long to compile")
    options = parser.parse_args()
    common.family = options.family
    if options.reload:
        (options.out / "reload.json").write_text(json.dumps(reload(options.out)))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    results = {
        task.name: run(task, options.out)
        for task in TASKS
        if task.library == options.library
        and (options.slow or keras.backend.backend() not in task.slow)
    }
    results["frozen"] = run_frozen(options.library)
    (options.out / "results.json").write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
