"""Folders for hubs: a model, its configuration and a model card, as another library reads them."""

import math
import os
import pathlib
from collections.abc import Mapping, Sequence

import keras

from keras_pvt.conversion.beside import OWN
from keras_pvt.hub import for_keras, for_keras_hub, for_timm, for_transformers
from keras_pvt.hub.card import card
from keras_pvt.hub.subject import Subject
from keras_pvt.models.trained_model import TrainedModel
from keras_pvt.utils.files import replacing, write_json

# By the name that users give: who writes, and the name that the hub has for the library.
LIBRARIES = {
    "transformers": (for_transformers, "transformers"),
    "timm": (for_timm, "timm"),
    "keras_hub": (for_keras_hub, "keras-hub"),
    "keras": (for_keras, "keras"),
}


def save(
    model: keras.Model | TrainedModel,
    folder: str | os.PathLike,
    library: str,
    *,
    classes: Sequence[str] | None = None,
    metrics: Mapping[str, float | str] | None = None,
) -> None:
    """Write a folder that a library can load: weights, configuration, class names, model card.

    `hf upload OWNER/NAME FOLDER` puts it on the hub, where `weights="hf://OWNER/NAME"` finds it.
    The folder is written atomically.

    Args:
        model: built by keras_pvt, or from `keras_pvt.load_model`.
        folder: folder to write; one that this function has written is replaced.
        library: "transformers", for classifiers, and backbones of PVTv2; "timm", for classifiers
            and backbones of PVTv2; "keras_hub", for backbones, and classifiers of PVTv2; or
            "keras", for any model.
        classes: class names in the order of the outputs; by default those of a model from
            `keras_pvt.load_model`.
        metrics: measured values for the card, such as {"top-1 on the validation set": 0.93}.
    Raises:
        ValueError: the library is unknown or has no such model; keras_pvt did not build the model;
            names are empty, or not as many as the model's outputs; a metric is NaN or infinite.
        ImportError: KerasHub is not installed.
        OSError: the folder contains other files, or cannot be written; it is unchanged.
    Example:
        >>> from keras_pvt import hub
        >>> hub.save(model, "flowers", "transformers", classes=["daisy", "rose"])
        # hf upload OWNER/flowers flowers
    """
    if library not in LIBRARIES:
        raise ValueError(f"`library` must be one of {', '.join(LIBRARIES)}; got {library!r}.")
    _check_metrics(metrics or {})
    writer, name = LIBRARIES[library]
    subject = Subject.of(model, classes)
    folder = pathlib.Path(folder)
    _check_place(folder)
    with replacing(folder) as temporary:
        temporary.mkdir()
        writer.write(subject, temporary)
        text = card(subject, name, writer.TITLE, writer.usage(subject), metrics or {})
        (temporary / "README.md").write_text(text, "utf-8")
        # KerasHub's classifiers have their head in another file than their weights.
        described = subject.description if library != "keras_hub" else subject.backbone
        own = {"library": library, "metrics": dict(metrics or {})}
        write_json(temporary / OWN, own | {"description": described.text()})


def _check_metrics(metrics: Mapping[str, float | str]) -> None:
    """Raise ValueError for what is no measured number, and JSON has none for."""
    for key, value in metrics.items():
        if not isinstance(value, str) and not math.isfinite(value):
            raise ValueError(
                f"`metrics` must be words or finite numbers; got {value!r} for {key!r}. Leave out "
                "what was not measured."
            )


def _check_place(folder: pathlib.Path) -> None:
    """Raise OSError for a folder that is not this package's to replace."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / OWN).is_file():
        raise FileExistsError(
            f"{folder} has files in it that `keras_pvt.hub.save` did not write; name a new folder, "
            "or empty it."
        )
