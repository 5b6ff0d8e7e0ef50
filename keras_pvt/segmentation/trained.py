"""A trained segmenter: its model, the names of its classes, and its file."""

import dataclasses
import os

import keras

from keras_pvt.utils.trained_files import load_with_facts, save_with_facts

# Member of the .keras file.
FACTS = "keras_pvt_segmenter.json"


@dataclasses.dataclass(frozen=True)
class TrainedSegmenter:
    """A model that gives each pixel a class, and what the classes are.

    Args:
        model: functional, from images `(B, H, W, 3)`, RGB 0..255 or normalised as
            `keras_pvt.segmentation.Predictor` finds out, to logits `(B, H, W, K)`.
        classes: K names, in the order of the logits.
    Raises:
        ValueError: another number of names.
    """

    model: keras.Model
    classes: tuple[str, ...]

    def __post_init__(self):
        number = self.model.output_shape[-1]
        if len(self.classes) != number:
            raise ValueError(
                f"the model gives logits of {number} classes; got {len(self.classes)} names."
            )

    def save(self, path: str | os.PathLike) -> None:
        """Write a .keras file that also holds the classes."""
        save_with_facts(self.model, path, FACTS, {"classes": list(self.classes)})

    @classmethod
    def load(cls, path: str | os.PathLike) -> "TrainedSegmenter":
        """Read what `save` wrote; nothing in the file is executed.

        Raises:
            OSError: the file cannot be opened.
            ValueError: it is no such file.
            ImportError: the library that the backbone is of is not installed.
        """
        what = "segmenter that examples/train_segmenter.py has saved"
        model, (classes,) = load_with_facts(path, FACTS, ("classes",), what)
        return cls(model, tuple(classes))
