"""What the pages' code needs to run here: on small models and images, and without a network."""

import dataclasses
import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from cifar10_photographs import photographs
from image_folders import write_images
from PIL import Image
from scripts import ROOT

import keras_pvt
from keras_pvt import conversion, detection
from keras_pvt.classification.decoding import class_table

Names = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Stage:
    """Where a page is run.

    Args:
        instead: what is run in place of what the page has, each of which must be there.
        prepare: writes the files that the page takes for granted into the working folder, and
            gives the names that its code does, if any.
        check: looks at what the code has made, by the names after each block.
        commands: with what those begin that are run too; None: they are parsed only.
        dear: why the page is left to the full tier; None: it is not.
        every: whether the full tier runs it on each backend.
    """

    instead: Mapping[str, str] = dataclasses.field(default_factory=dict)
    prepare: Callable[[np.random.Generator], Names | None] = lambda rng: None
    check: Callable[[Names], None] = lambda names: None
    commands: str | None = None
    dear: str | None = None
    every: bool = False


def _examples(rng) -> None:
    shutil.copytree(ROOT / "examples", "examples", ignore=shutil.ignore_patterns("*.ipynb"))


def _photo(rng) -> None:
    shutil.copy(ROOT / "examples" / "images" / "dog.jpg", "photo.jpg")


def _flowers(rng, folder: str = "flowers", count: int = 10) -> None:
    """Three classes, of random pixels, two of them as JPEG."""
    shades = {"daisy": 220, "rose": 60, "tulip": 140}
    write_images(
        pathlib.Path(folder),
        dict.fromkeys(shades, count),
        lambda name, _: np.clip(rng.normal(shades[name], 30, (40, 36, 3)), 0, 255),
    )
    for name, new in (("rose/00", "rose/one"), ("tulip/01", "tulip/two")):
        with Image.open(f"{folder}/{name}.png") as image:
            image.save(f"{folder}/{new}.jpg")


def _classifier(rng) -> Names:
    """What `keras-pvt train` leaves: logits of normalised images; with a head that has learnt."""
    _flowers(rng)
    pathlib.Path("runs/flowers").mkdir(parents=True)
    model = keras_pvt.PVTNano(weights="cifar10", classes=3, classifier_activation=None)
    kernel = model.get_layer("head").kernel
    kernel.assign(0.1 * rng.standard_normal(kernel.shape))
    keras_pvt.save_model(model, "runs/flowers/model.keras", ["daisy", "rose", "tulip"])
    return {"seen": model}


def _in_integers(names: Names) -> None:
    """What the file says of pixels is what the model says, but for its rounding."""
    crop = keras_pvt.eval_transform("flowers/rose/one.jpg", 32, 32)[None]
    logits = names["seen"].predict(keras_pvt.preprocess_input(crop), verbose=0)
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(logits))[0]
    assert np.ptp(expected) > 0.2
    np.testing.assert_allclose(names["probabilities"], expected, atol=0.1)


def _street(rng) -> None:
    for folder in ("images", "masks"):
        pathlib.Path("street", folder).mkdir(parents=True)
    for stem in "abcdefgh":
        image = rng.integers(0, 256, (70, 100, 3)).astype("uint8")
        Image.fromarray(image).save(f"street/images/{stem}.jpg")
        Image.fromarray(np.digitize(image[..., 0], (80, 160)).astype("uint8")).save(
            f"street/masks/{stem}.png"
        )
    pathlib.Path("street/classes.txt").write_text("sky\nroad\ncar\n")


# Small, and as good as Mask R-CNN for what is shown.
SMALL = "RetinaNet(backbone, 80, 16, 1)"


def _checkpoint(path: str) -> None:
    model = detection.RetinaNet(keras_pvt.PVTBackbone("pvt_nano"), 80, 16, 1)
    conversion.save_checkpoint(conversion.to_torch(model), path)


def _boxes(rng, side: int = 64) -> Names:
    return {
        "images": rng.integers(0, 256, (2, side, side, 3)).astype("float32"),
        "boxes": np.array([[[4, 4, 40, 30]], [[10, 20, 50, 60]]], "float32"),
        "classes": np.array([[3], [7]]),
    }


def _readme(rng) -> Names:
    _photo(rng)
    _checkpoint("detector.safetensors")
    return {
        "labels": np.arange(2),
        "image": rng.integers(0, 256, (70, 100, 3)).astype("uint8"),
        **_boxes(rng),
    }


def _detection(rng) -> Names:
    _checkpoint("detector.safetensors")
    return {"keras": keras, **_boxes(rng)}


def _found(names: Names) -> None:
    if "found" in names:
        assert names["found"]["boxes"].shape == (2, 100, 4)
        assert type(names["model"]) is detection.RetinaNet


def _labels(names: Names) -> None:
    labels = names["labels"]
    assert (labels.shape, labels.dtype) == (names["image"].shape[:2], np.uint8)
    assert labels.max() < names["model"].num_classes


def _readme_results(names: Names) -> None:
    if names["labels"].ndim == 2:
        _labels(names)
    else:
        _found(names)


def _detectors(rng) -> Names:
    backbone = keras_pvt.PVTBackbone(
        "pvt_nano", input_shape=(64, 64, 3), include_preprocessing=True
    )
    model = detection.RetinaNet(backbone, 2, 16, 1)
    pathlib.Path("runs/tiny").mkdir(parents=True)
    detection.Detector(model, "keras_pvt", ["cat", "dog"], (64, 64)).save("runs/tiny/model.keras")
    return _boxes(rng)


def _predictions(names: Names) -> None:
    """Of the exported file, as the model's."""
    if "predictions" not in names:
        return
    crop = keras_pvt.eval_transform("photo.jpg", 32, 32)[None]
    model = keras_pvt.PVTNano(weights="cifar10")
    expected = model.predict(keras_pvt.preprocess_input(crop), verbose=0)
    np.testing.assert_allclose(names.pop("predictions"), expected, atol=1e-5)


def _cifar10(rng) -> None:
    """Three photographs of each class."""
    images, labels = photographs()
    for number, (_, name) in enumerate(class_table("cifar10")):
        folder = pathlib.Path("cifar10-by-class", name)
        folder.mkdir(parents=True)
        for n, image in enumerate(images[labels == number][:3]):
            Image.fromarray(image).save(folder / f"{n}.png")


def _models(names: Names) -> None:
    if "vectors" in names:
        assert names["vectors"].shape == (1, 256)
    if "larger" in names:
        assert names["larger"].input_shape == (None, 96, 128, 3)
        assert names["open_"].input_shape == (None, None, None, 3)


def _weights(rng) -> Names:
    pathlib.Path("runs/flowers").mkdir(parents=True)
    keras_pvt.save_model(
        keras_pvt.PVTNano(weights=None, classes=2), "runs/flowers/model.keras", ["daisy", "rose"]
    )
    return {
        "keras_pvt": keras_pvt,
        "model": keras_pvt.PVTTiny(weights=None, classes=2),
        "pvt_v2": keras_pvt.PVTV2Nano(),
    }


def _two(rng) -> None:
    for name in ("cat", "dog"):
        shutil.copy(ROOT / "examples" / "images" / f"{name}.jpg", ".")


def _train_and_val(rng) -> None:
    _flowers(rng, "flowers/train")
    _flowers(rng, "flowers/val", 5)


STAGES = {
    "README.md": Stage(
        {
            'PVTV2B2(weights="imagenet")': 'PVTNano(weights="cifar10")',
            '"photo.jpg")': '"photo.jpg", 32, 32)',
            "top=3": 'top=3, classes="cifar10"',
            'PVTTiny(\n    weights="imagenet"': 'PVTNano(\n    weights="cifar10"',
            "classes=5, ": "classes=5, input_shape=(64, 64, 3), ",
            "epochs=10": "epochs=1",
            '"pvt_v2_b2", weights="imagenet"': '"pvt_nano"',
            "MaskRCNN(backbone, num_classes=80)": SMALL,
            "mask_rcnn_pvt_t_fpn_1x_coco.pth": "detector.safetensors",
        },
        _readme,
        _readme_results,
        dear="builds four models and trains one",
        every=True,
    ),
    "docs/detection.md": Stage(
        {
            "MaskRCNN(backbone)  ": f"{SMALL}  ",
            "pvt_small": "pvt_nano",
            "mask_rcnn_pvt_s_fpn_1x_coco.pth": "detector.safetensors",
        },
        _detection,
        _found,
        every=True,
    ),
    "docs/detectors.md": Stage(prepare=_detectors, dear="exports a detector"),
    "docs/engines.md": Stage({'Predictor("pvt_nano")': 'Predictor("pvt_nano", "keras")'}, _two),
    "docs/evaluation.md": Stage(prepare=_cifar10),
    "docs/export.md": Stage(
        {'PVTSmall(weights="imagenet"': 'PVTNano(weights="cifar10"'},
        _photo,
        _predictions,
        commands="keras-pvt export pvt_nano",
        dear="exports a model to each format; test_exporting.py does",
    ),
    "docs/models.md": Stage(check=_models, every=True),
    "docs/segmentation.md": Stage(
        {
            '"pvt_tiny", weights="imagenet"': '"pvt_nano"',
            '"pvt_small"': '"pvt_nano"',
            "512": "64",
            "num_classes=150": "num_classes=5",
        },
        lambda rng: {"image": rng.integers(0, 256, (70, 100, 3)).astype("uint8")},
        _labels,
        every=True,
    ),
    "docs/training.md": Stage(
        {"PVTTiny": "PVTNano", "224": "32", "256": "12", "epochs=10": "epochs=1"}, _train_and_val
    ),
    "docs/weights.md": Stage(prepare=_weights),
    "docs/tutorials/classify.md": Stage(prepare=_examples, commands="keras-pvt"),
    "docs/tutorials/finetune.md": Stage(
        {"--out runs/flowers\n": "--out runs/flowers --epochs 1 --batch-size 8\n"},
        _flowers,
        commands="keras-pvt",
        dear="trains a classifier",
    ),
    "docs/tutorials/detect.md": Stage(
        {"--out runs/cells\n": "--out runs/cells --epochs 1\n"},
        _examples,
        commands="keras-pvt",
        dear="trains a detector",
    ),
    "docs/tutorials/segment.md": Stage(
        {"--out runs/street\n": "--out runs/street --steps 2 --evaluate-every 2\n"},
        _street,
        commands="keras-pvt",
        dear="trains a segmenter",
    ),
    "docs/tutorials/phone.md": Stage(
        prepare=_classifier,
        check=_in_integers,
        commands="keras-pvt",
        dear="exports a model in integers",
    ),
}
