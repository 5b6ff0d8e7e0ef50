"""The tasks of keras-cv and KerasHub that take a backbone for images, tried with a small PVT.

KERAS_BACKEND=torch python tools/ecosystem.py keras_cv --out results   # JSON and .keras files

`TASKS` says what is expected of each. The table in docs/detectors.md is made from it, and
tests/test_ecosystem.py runs it.
"""

import argparse
import ast
import dataclasses
import json
import pathlib
from collections.abc import Callable

import keras
import numpy as np

import keras_pvt
import keras_pvt.weights
from keras_pvt.detection.libraries import LABEL_KEYS, retinanet
from keras_pvt.variants import VARIANTS, PVTConfig

ROOT = pathlib.Path(__file__).parents[1]
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
SMALL = PVTConfig(
    depths=(1, 1, 1, 1),
    embed_dims=(8, 12, 20, 28),
    num_heads=(1, 2, 5, 4),
    mlp_ratios=(3, 2, 4, 2),
    sr_ratios=(4, 2, 2, 1),
    image_size=64,
)
SIZE = (64, 96, 3)
CLASSES = 20  # as in the documents' code
_rng = np.random.default_rng(8)
IMAGES = _rng.uniform(0, 255, (2, *SIZE)).astype("float32")
BOXES = np.array([[[4, 4, 40, 50], [30, 10, 90, 60]], [[8, 2, 60, 40], [0, 0, 0, 0]]], "float32")
LABELS = np.array([[0, 2], [1, -1]], "float32")
MASKS = _rng.integers(0, 3, (2, *SIZE[:2], 1))
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
        fails: backend to (step that fails, part of the error, reason to be shown).
    """

    library: str
    name: str
    build: Callable[[], Built]
    note: str = ""
    fails: dict[str, tuple[str, str, str]] = dataclasses.field(default_factory=dict)


def everywhere(step: str, error: str, reason: str) -> dict[str, tuple[str, str, str]]:
    """`Task.fails` of what fails on each backend."""
    return dict.fromkeys(BACKENDS, (step, error, reason))


def small_backbone(cls: Callable[..., keras.Model] = keras_pvt.PVTBackbone, input_shape=SIZE):
    return cls(SMALL, input_shape=input_shape, include_preprocessing=True)


def from_document(document: str, constructor: str) -> Built:
    """The code of a document that calls `constructor`, up to its last statement, `fit`.

    Its "pvt_tiny" is the small one here, and no weights are downloaded.
    """
    blocks = (ROOT / document).read_text("utf-8").split("```python\n")[1:]
    code = next(block.split("```")[0] for block in blocks if constructor in block)
    *build, fit = ast.parse(code).body
    scope = {"images": IMAGES, "boxes": BOXES, "classes": LABELS}
    VARIANTS["pvt_tiny"] = SMALL
    keras_pvt.weights.load = lambda model, variant, weights: None
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


def cv_retinanet():
    return from_document("README.md", "keras_cv.models.RetinaNet(")


def cv_yolo():
    import keras_cv

    backbone = small_backbone()
    model = keras_cv.models.YOLOV8Detector(
        num_classes=CLASSES,
        bounding_box_format="xyxy",
        backbone=backbone,
        fpn_depth=1,
        prediction_decoder=keras_pvt.detection.NonMaxSuppression("xyxy", from_logits=False),
    )
    target = {"boxes": BOXES, "classes": LABELS}
    losses = {"box_loss": "ciou", "classification_loss": "binary_crossentropy"}
    return compiled(backbone, model, target, **losses)


def cv_classifier():
    import keras_cv

    backbone = small_backbone()
    model = keras_cv.models.ImageClassifier(backbone=backbone, num_classes=3)
    return compiled(backbone, model, np.array([0, 2]), loss="sparse_categorical_crossentropy")


def cv_segmenter(name: str, **options):
    import keras_cv

    backbone = small_backbone()
    model = getattr(keras_cv.models, name)(backbone=backbone, num_classes=3, **options)
    return compiled(backbone, model, MASKS, loss="sparse_categorical_crossentropy")


def cv_basnet():
    import keras_cv

    backbone = small_backbone(input_shape=(None, None, 3))
    model = keras_cv.models.BASNet(backbone=backbone, num_classes=1, input_shape=SIZE)
    return compiled(backbone, model, MASKS, loss="mse")


def cv_video():
    import keras_cv

    backbone = small_backbone()
    model = keras_cv.models.VideoClassifier(backbone=backbone, num_classes=3)
    return compiled(backbone, model, LABELS, loss="mse")


def hub_retinanet():
    return from_document("docs/detectors.md", "keras_hub.models.RetinaNetObjectDetector(")


def hub_d_fine():
    import keras_hub

    backbone = small_backbone()
    encoder = keras_hub.models.DFineBackbone(
        backbone=keras.Model(backbone.input, backbone.pyramid_outputs),
        out_features=["P3", "P4", "P5"],
        encoder_in_channels=[12, 20, 28],
        decoder_in_channels=[16, 16, 16],
        feat_strides=[8, 16, 32],
        image_shape=SIZE,
        anchor_image_size=SIZE[:2],
        num_labels=3,
        num_queries=10,
        num_denoising=0,
        learn_initial_query=False,
        num_feature_levels=3,
        hidden_dim=16,
        encoder_hidden_dim=16,
        encode_proj_layers=[2],
        num_attention_heads=2,
        encoder_ffn_dim=32,
        num_encoder_layers=1,
        hidden_expansion=0.5,
        depth_multiplier=0.5,
        eval_idx=-1,
        num_decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
        decoder_n_points=[3, 6, 3],
        lqe_hidden_dim=8,
        num_lqe_layers=2,
        seed=0,
    )
    model = keras_hub.models.DFineObjectDetector(
        encoder,
        num_classes=3,
        bounding_box_format="xyxy",
        prediction_decoder=keras_pvt.detection.NonMaxSuppression("xyxy"),
    )
    target = {"boxes": BOXES[:1].repeat(2, 0), "labels": LABELS[:1].repeat(2, 0)}
    return compiled(backbone, model, target)


def hub_classifier():
    import keras_hub

    backbone = small_backbone()
    model = keras_hub.models.ImageClassifier(backbone, num_classes=3)
    return compiled(backbone, model, np.array([0, 2]))


def hub_deeplab():
    import keras_hub

    backbone = small_backbone()
    encoder = keras_hub.models.DeepLabV3Backbone(
        backbone,
        low_level_feature_key="P2",
        spatial_pyramid_pooling_key="P5",
        upsampling_size=8,
        dilation_rates=[2, 3],
        image_shape=SIZE,
    )
    model = keras_hub.models.DeepLabV3ImageSegmenter(encoder, num_classes=3)
    return compiled(backbone, model, MASKS, loss=FROM_LOGITS)


def hub_segformer():
    import keras_hub

    from keras_pvt.hub import PVTSegFormerEncoder

    backbone = small_backbone(PVTSegFormerEncoder)
    encoder = keras_hub.models.SegFormerBackbone(image_encoder=backbone, projection_filters=16)
    model = keras_hub.models.SegFormerImageSegmenter(encoder, num_classes=3)
    return compiled(backbone, model, MASKS, loss=FROM_LOGITS)


def hub_backbone(name: str, **options):
    """A backbone of KerasHub that takes another as its image encoder."""
    import keras_hub

    from keras_pvt.hub import PVTHubBackbone

    encoder = small_backbone(PVTHubBackbone, (None, None, 3))
    return getattr(keras_hub.models, name)(image_encoder=encoder, **options)


def hub_basnet():
    return hub_backbone("BASNetBackbone", num_classes=1, image_shape=SIZE)


def hub_depth_anything():
    return hub_backbone(
        "DepthAnythingBackbone",
        reassemble_factors=[4, 2, 1, 0.5],
        neck_hidden_dims=[4, 8, 16, 16],
        fusion_hidden_dim=16,
        head_hidden_dim=8,
        head_in_index=-1,
    )


MULTIPLES = "sides in multiples of 32"
RESNET = "calls layers of ResNet by name"
RESIZE = ("fit", "grad_input must be contiguous", "refuses the gradient of the last resize")
TASKS = [
    Task("keras_cv", "RetinaNet", cv_retinanet, f"five lines in the README; {MULTIPLES}"),
    Task(
        "keras_cv",
        "YOLOV8Detector",
        cv_yolo,
        f"`NonMaxSuppression(..., from_logits=False)`; {MULTIPLES}",
    ),
    Task("keras_cv", "ImageClassifier", cv_classifier, "any size"),
    Task(
        "keras_cv",
        "DeepLabV3Plus",
        lambda: cv_segmenter("DeepLabV3Plus"),
        MULTIPLES,
        {"torch": RESIZE},
    ),
    Task(
        "keras_cv",
        "SegFormer",
        lambda: cv_segmenter("SegFormer", projection_filters=16),
        "`input_shape` without None",
        {"torch": RESIZE},
    ),
    Task("keras_cv", "BASNet", cv_basnet, "", everywhere("build", "v2_stack_0", RESNET)),
    Task(
        "keras_cv",
        "VideoClassifier",
        cv_video,
        "",
        everywhere("build", "expected ndim=5", "wants a backbone for video"),
    ),
    Task("keras_hub", "RetinaNetObjectDetector", hub_retinanet, f"code above; {MULTIPLES}"),
    Task(
        "keras_hub",
        "DFineObjectDetector",
        hub_d_fine,
        "`backbone=keras.Model(backbone.input, backbone.pyramid_outputs)`",
    ),
    Task("keras_hub", "ImageClassifier", hub_classifier, "any size"),
    Task("keras_hub", "DeepLabV3ImageSegmenter", hub_deeplab, MULTIPLES),
    Task(
        "keras_hub",
        "SegFormerImageSegmenter",
        hub_segformer,
        "`keras_pvt.hub.PVTSegFormerEncoder`; `input_shape` without None",
    ),
    Task(
        "keras_hub",
        "BASNetImageSegmenter",
        hub_basnet,
        "",
        everywhere("build", "stackwise_num_blocks", RESNET),
    ),
    Task(
        "keras_hub",
        "DepthAnythingDepthEstimator",
        hub_depth_anything,
        "",
        everywhere("build", "must be a `DINOV2Backbone`", "wants DINOv2"),
    ),
]
# Classes that take a backbone or an image encoder, and are not for PVT.
OTHERS = {
    "keras_cv": {
        "MultiHeadCenterPillar": "is for lidar",
        "SegmentAnythingModel": "cannot be trained",
        **{f"SegFormerB{n}": "brings its own backbone; take `SegFormer`" for n in range(6)},
    },
    "keras_hub": {
        "PARSeqBackbone": "wants the tokens of a ViT",
        "SAMBackbone": "wants the map of a ViTDet, and cannot be trained",
    },
}


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
        "moved": whether weights of the backbone moved; "learnt": share of the others that did.
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
    return {"moved": not all(same), "learnt": float(np.mean(learnt))}


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
    options = parser.parse_args()
    if options.reload:
        (options.out / "reload.json").write_text(json.dumps(reload(options.out)))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    results = {
        task.name: run(task, options.out) for task in TASKS if task.library == options.library
    }
    results["frozen"] = run_frozen(options.library)
    (options.out / "results.json").write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
