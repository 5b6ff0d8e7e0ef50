"""Training of detectors."""

import dataclasses
import pathlib

import keras

from keras_pvt.detection.data import augmentation
from keras_pvt.detection.data.batches import DetectionBatches
from keras_pvt.detection.data.coco import load_coco
from keras_pvt.detection.data.formats.choice import is_coco_file, load_folder
from keras_pvt.detection.data.samples import DetectionSet
from keras_pvt.detection.data.tfds import as_coco
from keras_pvt.detection.detector import Detector
from keras_pvt.detection.drawing import draw_sheet
from keras_pvt.detection.evaluation import MASK_METRICS, METRICS, evaluate
from keras_pvt.detection.libraries import (
    LABEL_KEYS,
    best_possible_recall,
    retinanet,
    without_input_warning,
)
from keras_pvt.models.backbone import PVTBackbone
from keras_pvt.models.trained_model import RESULT
from keras_pvt.recipes.detection import DetectionRecipe
from keras_pvt.training import WarmUpCosine, WarmUpSteps
from keras_pvt.training.data.split import drawn
from keras_pvt.training.trainer import Trainer
from keras_pvt.utils.data_report import DataReport
from keras_pvt.utils.extras import needed_for

SHEET_IMAGES = 6
MIN_SIDE = 32  # of a training image in pixels; what is smaller shows nothing in stage 4
POOR_FIT = 0.95  # share of boxes with an anchor below which the user is told


class DetectionTrainer(Trainer):
    """Trains a detector. Every process evaluates by itself.

    Writes to `out`: settings.json, history.csv, curves.png, sheet.png and `checkpoints/`, and at
    the end model.keras, for `keras-pvt detect`.
    """

    monitor = METRICS[0]
    guessing = False
    data: DetectionSet
    val: DetectionSet
    detector: Detector

    def import_libraries(self):
        super().import_libraries()
        with needed_for("measuring average precision", "detection"):
            import faster_coco_eval  # noqa: F401
        if self.recipe.system == "detr":
            with needed_for("training DETR", "detection"):
                import scipy.optimize  # noqa: F401

    def fetch(self):
        recipe = self.recipe
        for split, name in (("train", recipe.data), ("validation", recipe.val_data or recipe.data)):
            if _has_splits(name):
                as_coco(name, split, self.out / "data")

    def open(self, in_memory):
        self.data, self.val = load_data(self.recipe, self.out, self.strategy.chief)
        return len(self.data.samples), len(self.val.samples)

    @property
    def classes(self):
        return self.data.classes

    @property
    def every(self):
        return self.recipe.evaluate_every

    def length(self, steps):
        every = self.recipe.evaluate_every
        said = f", evaluated every {every} epochs" if every > 1 else ""
        return super().length(steps) + said

    def compiled(self, steps):
        recipe = self.recipe
        losses: dict = {}
        if recipe.own:
            built, backbone = self.build()
        else:
            backbone = PVTBackbone.from_recipe(self.plan, input_shape=(*recipe.detector_size, 3))
            built, losses = retinanet(
                recipe.library, backbone, len(self.classes), recipe.anchor_size
            )
        self.detector = Detector(built, recipe.library, self.classes, recipe.detector_size)
        self._warn_of_low_recall()
        factors = {
            variable.path: recipe.backbone_rate
            for variable in backbone.trainable_variables
            if recipe.backbone_rate != 1
        }
        optimizer = self.optimizer(
            built,
            learning_rate(recipe, steps),
            decay_all=recipe.decay_all,
            decay_norms=recipe.decay_norms,
            factors=factors or None,
        )
        whole = self.strategy.replicate(built)
        whole.compile(optimizer=optimizer, **losses)
        return built, whole

    def batches(self, batch_size, done):
        recipe = self.recipe
        return DetectionBatches(
            self.data,
            batch_size,
            augmentation.of_recipe(recipe),
            seed=recipe.seed,
            first_epoch=done,
            label_key=LABEL_KEYS.get(recipe.library, "classes"),
            sizes=recipe.own,
            named=recipe.own and isinstance(self.detector.model.input, dict),
            masks=recipe.with_masks,
            grouped=recipe.canvas is None,
            shard=(self.strategy.process, self.strategy.processes),
        )

    def measure(self, whole, batch_size):
        return evaluate(self.detector, self.val, batch_size, self.recipe.with_masks)

    def around(self):
        return without_input_warning()

    def panels(self, rows):
        shown = {"loss": [name for name in rows[0] if name.endswith("loss")]}
        shown["average precision, val"] = list(METRICS[:3])
        if self.recipe.with_masks:
            shown["average precision of masks, val"] = list(MASK_METRICS[:3])
        return shown

    def finish(self, run, batch_size):
        detector = self.detector
        run.save(RESULT, lambda bare, path: dataclasses.replace(detector, model=bare).save(path))
        if self.strategy.chief:
            samples = self.val.samples[:SHEET_IMAGES]
            draw_sheet(detector, samples, self.out / "sheet.png", batch_size)
        last = run.results()
        return {name: last[name] for name in (*METRICS[:3], *MASK_METRICS[:3]) if name in last}

    def _warn_of_low_recall(self) -> None:
        if self.recipe.own or not self.strategy.chief:  # ours give every box its best anchor
            return
        shares = best_possible_recall(self.detector.model, self.data, self.detector.size)
        for name, share in shares.items():
            if share < POOR_FIT:
                print(f"only {share:.0%} of the boxes of {name} fit an anchor: the others are not "
                      "learnt; try another --anchor-size or canvas")  # fmt: skip


def load_data(
    recipe: DetectionRecipe, out: pathlib.Path, verbose: bool = True
) -> tuple[DetectionSet, DetectionSet]:
    """The training and the validation set; what is wrong with them is printed if wanted.

    Raises:
        ValueError: a folder in no format that is known; no set to validate on; nothing left to
            train on; see `load_coco`.
        OSError: a file that cannot be read.
        ImportError: a library that the format needs is not installed.
    """
    found = _open(recipe, "train", recipe.data, recipe.images, out)
    train = found.get("train", found.get(""))
    if train is None:
        raise ValueError(f"{recipe.data} has no split to train on; it has {', '.join(found)}.")
    if recipe.val_data or _has_splits(recipe.data):
        name = recipe.val_data or recipe.data
        images = recipe.val_images or recipe.images
        found = _open(recipe, "validation", name, images, out, train.classes)
    split = _split_to_validate_on(found, bool(recipe.val_data))
    if split is not None:
        sets = [train, found[split]]
    elif recipe.val_split:
        sets = _split(train, recipe.val_split, recipe.seed)
    else:
        raise ValueError(
            f"--val-data or --val-split is needed, as {recipe.data} has no validation split"
        )
    if verbose and split is None:
        print(
            f"there is no --val-data: {recipe.val_split:.0%} of the images are taken to "
            f"validate on, drawn by seed {recipe.seed} (--val-split)"
        )
    elif verbose and split == "test":
        print(f"{recipe.val_data or recipe.data} has no validation split: test is used instead")
    sets[0] = sets[0].for_training(recipe.background, MIN_SIDE)
    sets[1].report.add_names("class without a box, of which AP is nan", sets[1].without_boxes())
    if verbose:
        for part, data in zip(("train", "validation"), sets, strict=True):
            boxes = sum(len(one.boxes) for one in data.samples)
            print(f"{part}: {len(data.samples)} images with {boxes} boxes of "
                  f"{len(data.classes)} classes")  # fmt: skip
            for line in data.report.lines():
                print(f"  {line}")
    return sets[0], sets[1]


def _has_splits(name: str) -> bool:
    """Whether it is a set of tensorflow-datasets, whose splits are opened one by one."""
    return not name.endswith(".json") and not pathlib.Path(name).exists()


def _open(
    recipe: DetectionRecipe,
    split: str,
    name: str,
    images: str,
    out: pathlib.Path,
    classes: list[str] | None = None,
) -> dict[str, DetectionSet]:
    """The sets by their splits; of tensorflow-datasets the one that is asked for."""
    if is_coco_file(name):
        folder = pathlib.Path(images or pathlib.Path(name).parent)
        return {"": load_coco(name, folder, classes, recipe.with_masks)}
    if _has_splits(name):
        file, folder = as_coco(name, split, out / "data")
        wanted = "train" if split == "train" else "val"
        return {wanted: load_coco(file, folder, classes, recipe.with_masks)}
    if images:
        raise ValueError(
            f"{name} is no JSON in COCO's format, which --images and --val-images are for; other "
            "data say by themselves where their images are (docs/data.md)."
        )
    return load_folder(name, classes, recipe.with_masks, recipe.format)


def _split_to_validate_on(found: dict[str, DetectionSet], own: bool) -> str | None:
    """The name of it, if there is one; data of their own may have one split, of any name."""
    if own and len(found) == 1:
        return next(iter(found))
    name = next((name for name in ("val", "test") if name in found), None)
    if own and name is None:
        raise ValueError(f"--val-data has no split val or test; it has {', '.join(found)}.")
    return name


def _split(data: DetectionSet, share: float, seed: int) -> list[DetectionSet]:
    if len(data.samples) < 2:
        raise ValueError("one image cannot be split; pass --val-data.")
    parts = drawn(len(data.samples), share, seed)
    return [
        DetectionSet(data.classes, [data.samples[n] for n in part], report)
        for part, report in zip(parts, (data.report, DataReport()), strict=True)
    ]


def learning_rate(
    recipe: DetectionRecipe, steps: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """The schedule, for so many steps in an epoch."""
    warm_up = round(recipe.warm_up * steps)
    if recipe.schedule == "step":
        drops = [epoch * steps for epoch in recipe.drop_epochs]
        return WarmUpSteps(recipe.learning_rate, drops, warm_up)
    total = recipe.epochs * steps
    return WarmUpCosine(recipe.learning_rate, warm_up, total, recipe.end_rate)
