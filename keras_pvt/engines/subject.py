"""What an engine computes: a Keras model that need not be there yet."""

import functools
import pathlib
from collections.abc import Callable
from typing import Any

from keras_pvt.engines import cache, fingerprint


class Subject:
    """A model, and what tells it from others.

    Args:
        identity: which no other model has, nor this one with other weights.
        load: gives the Keras model, functional, of one image input; called once, if at all.
        size: (height, width) in pixels of its images; None: any.
    """

    def __init__(self, identity: str, load: Callable[[], Any], size: tuple[int, int] | None = None):
        self.identity = identity
        self.size = size
        self._load = load

    @classmethod
    def of(cls, model: Any, file: str | None = None) -> "Subject":
        """The subject of a model that is there.

        Args:
            model: a Keras model.
            file: what tells the file from others that the model is of, unchanged, and which part
                of it; None: there is none.
        Raises:
            ValueError: it is not functional, not built, or takes something else than images.
        """
        inputs: Any = getattr(model, "inputs", None) or []
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            raise ValueError(
                f"an engine computes functional models of one input (batch, height, width, "
                f"channels); {getattr(model, 'name', model)!r} is none: call the model itself."
            )
        height, width = model.inputs[0].shape[1:3]
        size = None if None in (height, width) else (height, width)
        told = fingerprint.of_model(model) if file is None else fingerprint.of_loaded(model, file)
        return cls(fingerprint.digest("model", told), lambda: model, size)

    @functools.cached_property
    def model(self) -> Any:
        """The Keras model."""
        return self._load()

    @property
    def folder(self) -> pathlib.Path:
        """Where the artifacts of this model lie."""
        return cache.folder() / self.identity


class Representative:
    """A folder of images, from which int8 learns the ranges of its numbers.

    Args:
        folder: of images.
        pixels: whether the model takes RGB 0..255; else they are normalised.
    Raises:
        NotADirectoryError: there is no such folder.
    """

    def __init__(self, folder: pathlib.Path, pixels: bool):
        self.identity = fingerprint.digest(fingerprint.of_folder(folder), pixels)
        self._folder, self._pixels = folder, pixels

    def images(self, size: tuple[int, int]) -> Any:
        """float32 `(N, height, width, 3)`, see `representative_images`."""
        from keras_pvt.exporting.representative import representative_images

        return representative_images(self._folder, size, self._pixels)
