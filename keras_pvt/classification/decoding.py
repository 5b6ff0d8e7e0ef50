"""Names of the classes that a model predicts, from tables that ship with the package."""

import functools
import importlib.resources
import json
from collections.abc import Sequence

import keras
import numpy as np

# By the width of the head.
TABLES = {1000: "imagenet", 10: "cifar10"}


def decode_predictions(preds, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """The most likely classes of each image, best first.

    Args:
        preds: `(B, 1000)` for ImageNet's classes or `(B, 10)` for CIFAR-10's, a NumPy array or
            a tensor of any backend. Values are ranked and returned as they are: probabilities
            if the model ends in softmax, its default.
        top: classes to return for an image; all of them if there are fewer.
    Returns:
        A list for each image of (class id, name, value). Equal values keep the order of classes.
    Raises:
        ValueError: another rank or number of columns, values that are not numbers, `top` below 1.
    """
    values = np.asarray(keras.ops.convert_to_numpy(preds), "float32")
    if values.ndim != 2 or values.shape[1] not in TABLES:
        raise ValueError(
            f"`preds` must be (batch, {' or '.join(map(str, TABLES))}), the predictions of a model "
            f"with the top; got shape {values.shape}. Classes of your own have no table here."
        )
    if isinstance(top, bool) or not isinstance(top, int) or top < 1:
        raise ValueError(f"`top` must be an integer >= 1; got {top!r}.")
    if np.isnan(values).any():
        raise ValueError("`preds` holds NaN, which has no rank.")
    names = class_table(TABLES[values.shape[1]])
    return [best_classes(row, names, top) for row in values]


def best_classes(
    values: np.ndarray, classes: Sequence[tuple[str, str]], top: int
) -> list[tuple[str, str, float]]:
    """The most likely classes of an image, best first, as `decode_predictions` gives them.

    Args:
        values: `(K,)`.
        classes: id and name of each of K.
        top: classes to return.
    """
    order = np.argsort(-values, kind="stable")[:top]
    return [(*classes[n], float(values[n])) for n in order]


@functools.cache
def class_table(name: str) -> tuple[tuple[str, str], ...]:
    """Class id and name of each output, in the order of the head.

    Args:
        name: "imagenet" (1000 WordNet synsets) or "cifar10", as `Weights.classes` has it.
    """
    file = importlib.resources.files("keras_pvt") / "data" / f"{name}_classes.json"
    return tuple((id_, label) for id_, label in json.loads(file.read_text("utf-8")))
