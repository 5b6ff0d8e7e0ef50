"""What the tasks share: a small PVT, images with boxes, and what a task is."""

import ast
import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import keras_pvt
import keras_pvt.weights
from keras_pvt.variants import VARIANTS, PVTConfig

ROOT = pathlib.Path(__file__).parents[2]
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
PVT = PVTConfig(
    depths=(1, 1, 1, 1),
    embed_dims=(8, 12, 20, 28),
    num_heads=(1, 2, 5, 4),
    mlp_ratios=(3, 2, 4, 2),
    sr_ratios=(4, 2, 2, 1),
    image_size=64,
)
SMALL = {
    "pvt": PVT,
    "pvt_v2": dataclasses.replace(
        PVT, family="pvt_v2", patch_sizes=(7, 3, 3, 3), patch_strides=(4, 2, 2, 2)
    ),
}
SIZE = (64, 96, 3)
CLASSES = 20  # as in the documents' code
_rng = np.random.default_rng(8)
IMAGES = _rng.uniform(0, 255, (2, *SIZE)).astype("float32")
BOXES = np.array([[[4, 4, 40, 50], [30, 10, 90, 60]], [[8, 2, 60, 40], [0, 0, 0, 0]]], "float32")
LABELS = np.array([[0, 2], [1, -1]], "float32")
MASKS = _rng.integers(0, 3, (2, *SIZE[:2], 1))
# What `small_backbone` and the documents' code make; `tools/ecosystem.py --family` chooses.
family = "pvt"
FROM_LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@dataclasses.dataclass
class Built:
    """A task around a backbone, compiled, and what fits it."""

    backbone: keras.Model
    model: keras.Model
    fit: Callable[[], object]


@dataclasses.dataclass(frozen=True)
class Task:
    """A task of a library, and what is expected of it.

    Args:
        library: "keras_cv" or "keras_hub".
        name: the classes, as the library names them.
        build: makes it.
        note: what a user has to do or know.
        slow: backends on which it takes long to compile; tried with `--slow`.
        fails: backend to (step that fails, part of the error, reason to be shown).
    """

    library: str
    name: str
    build: Callable[[], Built]
    note: str = ""
    slow: tuple[str, ...] = ()
    fails: dict[str, tuple[str, str, str]] = dataclasses.field(default_factory=dict)


def everywhere(step: str, error: str, reason: str) -> dict[str, tuple[str, str, str]]:
    """`Task.fails` of what fails on each backend."""
    return dict.fromkeys(BACKENDS, (step, error, reason))


def small_backbone(cls: Callable[..., keras.Model] = keras_pvt.PVTBackbone, input_shape=SIZE):
    return cls(SMALL[family], input_shape=input_shape, include_preprocessing=True)


def from_document(document: str, constructor: str) -> Built:
    """The code of a document that calls `constructor`, up to its last statement, `fit`.

    Its "pvt_tiny" is the small one here, and no weights are downloaded.
    """
    blocks = (ROOT / document).read_text("utf-8").split("```python\n")[1:]
    code = next(block.split("```")[0] for block in blocks if constructor in block)
    *build, fit = ast.parse(code).body
    scope: dict[str, Any] = {"images": IMAGES, "boxes": BOXES, "classes": LABELS}
    VARIANTS["pvt_tiny"] = SMALL[family]
    keras_pvt.weights.load = lambda *_: None  # type: ignore[assignment, return-value]
    exec(compile(ast.Module(build, []), document, "exec"), scope)
    # Its weight decay would move weights that no gradient reaches.
    scope["detector"].optimizer.weight_decay = None
    last = compile(ast.Module([fit], []), document, "exec")
    return Built(scope["backbone"], scope["detector"], lambda: exec(last, scope))


def compiled(backbone, model, target, **options) -> Built:
    """The model with Adam and losses, run eagerly where compiling takes longer than running."""
    eager = keras.backend.backend() != "jax"
    model.compile(optimizer="adam", run_eagerly=eager, **options)
    return Built(backbone, model, lambda: model.fit(IMAGES, target, verbose=0))


# Notes and reasons that several tasks have.
MULTIPLES = "sides in multiples of 32"
RESNET = "calls layers of ResNet by name"
