"""What decides the results of a job, in a form that other machines can be sent."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from keras_pvt.engines.table import AUTO

POOLINGS = ("head", "token", "avg")
MASKS = ("png", "rle")
# What decides the results of each task, besides the model and what computes it.
READ = {
    "classify": ("size", "classes", "top"),
    "embed": ("size", "pooling"),
    "detect": ("classes", "threshold", "masks"),
    "segment": ("classes", "masks", "segmenter"),
}
TASKS = tuple(READ)


@dataclasses.dataclass(frozen=True)
class Options:
    """Of a task, which takes its own alone.

    Args:
        task: one of `TASKS`.
        model: a variant, a file of a trained model or checkpoint, or one on a hub.
        weights: of a variant, see `FileClassifier.load`.
        size: side of a classifier's crop in pixels; None: as it was trained.
        classes: names for a checkpoint that has none, or the name of a table.
        top: classes for each image.
        pooling: what an embedding is: "token", the class token; "avg", the mean of P5; "head",
            that of the two that the head sees.
        threshold: smallest score of a box, 0 to 1.
        masks: of a segmenter "png" or "rle"; of a detector "rle", or None for boxes alone.
        segmenter: options of `keras_pvt.segmentation.Predictor`; without "short_side" as the
            model was evaluated.
        engine: what computes, see `keras_pvt.Predictor`.
        precision: that it computes in.
        representative: folder of images for int8.
    Raises:
        ValueError: no such task, options out of range, or those of another task.
    """

    task: str
    model: str
    weights: str | None = None
    size: int | None = None
    classes: str | Sequence[str] | None = None
    top: int = 5
    pooling: str = "head"
    threshold: float = 0.5
    masks: str | None = None
    segmenter: dict[str, Any] = dataclasses.field(default_factory=dict)
    engine: str = AUTO
    precision: str = "float32"
    representative: str | None = None

    def __post_init__(self):
        if self.task not in TASKS:
            raise ValueError(f"no task {self.task!r}; there are {', '.join(TASKS)}.")
        plain = {field.name: _default(field) for field in dataclasses.fields(self)}
        for name in sorted({name for names in READ.values() for name in names}):
            readers = [task for task, names in READ.items() if name in names]
            if self.task not in readers and getattr(self, name) != plain[name]:
                raise ValueError(
                    f"`{name}` is for {' and '.join(readers)}; got {getattr(self, name)!r} for "
                    f"{self.task}, which does without."
                )
        if self.top < 1:
            raise ValueError(f"`top` must be at least 1; got {self.top}.")
        if self.pooling not in POOLINGS:
            raise ValueError(f"`pooling` must be {', '.join(POOLINGS)}; got {self.pooling!r}.")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"`threshold` must be 0 to 1; got {self.threshold}.")
        allowed = {"segment": MASKS, "detect": (None, "rle")}.get(self.task, (None,))
        if self.masks not in allowed:
            raise ValueError(
                f"`masks` of {self.task} must be one of {', '.join(map(str, allowed))}; got "
                f"{self.masks!r}."
            )
        if self.weights is not None and self.weights in ("", "none"):
            raise ValueError("weights 'none' are other numbers in each worker; name some.")

    def facts(self) -> dict[str, Any]:
        """Those that this task reads, for the fingerprint; the model is told by its files."""
        found = {name: getattr(self, name) for name in (*READ[self.task], "engine", "precision")}
        if self.representative is not None:
            from keras_pvt.engines.fingerprint import of_folder

            found["representative"] = of_folder(pathlib.Path(self.representative))
        return found


def _default(field: dataclasses.Field) -> Any:
    made = field.default_factory
    return field.default if made is dataclasses.MISSING else made()
