"""Names of the classes that a model predicts, from tables that ship with the package."""

import collections
import functools
import importlib.resources
import json
import pathlib
from collections.abc import Sequence

import numpy as np

# The tables, which `Weights.classes` and `decode_predictions` name.
TABLES = ("imagenet", "cifar10")


def decode_predictions(
    preds, top: int = 5, classes: str | Sequence[str] | Sequence[tuple[str, str]] = "imagenet"
) -> list[list[tuple[str, str, float]]]:
    """Return the most likely classes of each image, best first.

    Args:
        preds: `(B, K)`, a NumPy array or a tensor of any backend. Values are ranked and returned
            unchanged: probabilities if the model ends in softmax, as it does by default.
        top: classes to return for an image; all of them if there are fewer.
        classes: names of the K outputs, in their order, such as those of a `TrainedModel`, or
            pairs of id and name; or the name of a table: "imagenet" (K is 1000) or "cifar10"
            (10), which are those of the weights of these names.
    Returns:
        A list for each image of (class id, name, value). Equal values keep the order of classes.
        If there are only names, they are also the ids.
    Raises:
        ValueError: `preds` has another rank, or another number of columns than there are classes;
            values are NaN; `top` is below 1; there is no such table.
    """
    import keras  # the tables do without

    values = np.asarray(keras.ops.convert_to_numpy(preds), "float32")
    names = named_classes(classes)
    if values.ndim != 2 or values.shape[1] != len(names):
        what = f"{classes!r} has" if isinstance(classes, str) else "`classes` names"
        raise ValueError(
            f"`preds` must be (batch, {len(names)}), as {what} {len(names)} classes; got shape "
            f"{values.shape}. Pass the names of the model's own as `classes`."
        )
    if isinstance(top, bool) or not isinstance(top, int) or top < 1:
        raise ValueError(f"`top` must be an integer >= 1; got {top!r}.")
    if np.isnan(values).any():
        raise ValueError("`preds` holds NaN, which has no rank.")
    return [best_classes(row, names, top) for row in values]


def named_classes(
    classes: str | Sequence[str] | Sequence[tuple[str, str]],
) -> tuple[tuple[str, str], ...]:
    """Id and name of each class.

    Args:
        classes: names, pairs of id and name, or the name of a table.
    Raises:
        ValueError: no such table.
    """
    if isinstance(classes, str):
        if classes not in TABLES:
            raise ValueError(
                f"`classes` must be names, or one of {', '.join(TABLES)}; got {classes!r}."
            )
        return class_table(classes)
    return tuple((one, one) if isinstance(one, str) else (one[0], one[1]) for one in classes)


def read_classes(source: str) -> str | list[str]:
    """What a word of the command line says of classes.

    Args:
        source: name of a table, or a file with a name a line.
    Returns:
        The name of the table, or the names.
    Raises:
        OSError: a file that cannot be read.
        ValueError: a file that is no text, or whose lines are no different names.
    """
    if source in TABLES:
        return source
    names = [name.strip() for name in pathlib.Path(source).read_text("utf-8").split("\n")]
    names = names if names[-1] else names[:-1]  # the last line ends as the others do
    if not names or not all(names) or len(set(names)) != len(names):
        raise ValueError(f"{source}: a different name is wanted in each of {len(names)} lines.")
    return names


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


def class_titles(classes: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """A different name for each class; ImageNet has two cranes, of which the ids tell.

    Args:
        classes: id and name of each.
    """
    count = collections.Counter(name for _, name in classes)
    return tuple(name if count[name] == 1 else f"{name} ({id_})" for id_, name in classes)
