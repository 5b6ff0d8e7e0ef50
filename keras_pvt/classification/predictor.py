"""Classifiers from what a user names."""

import logging
import os
from collections.abc import Sequence

import keras

from keras_pvt.classification.decoding import class_table, named_classes
from keras_pvt.classification.file_predictions import CropClassifier
from keras_pvt.conversion import (
    CheckpointError,
    load_checkpoint,
    model_from_checkpoint,
    read_checkpoint,
)
from keras_pvt.conversion.readers import pointing_to_info
from keras_pvt.conversion.recognise import Found, recognised
from keras_pvt.families import config_of
from keras_pvt.models.classifier import classifier
from keras_pvt.models.inputs import takes_pixels
from keras_pvt.models.trained_model import TrainedModel, is_described, load_model, named_file
from keras_pvt.utils.images import default_resize_size
from keras_pvt.variants import PRETRAINED, VARIANTS, WEIGHTS, are_none, default_name
from keras_pvt.weights import find


class FileClassifier(CropClassifier):
    """A model, and what has to be known to show it image files.

    Args:
        model: takes `(B, size, size, 3)`, and gives `(B, classes)`.
        size: side of the crop in pixels.
        resize_size: pixels of the image's short side before the crop.
        classes: (id, name) of each class, in the order of the outputs; none where nothing tells.
        logits: whether the model ends before softmax.
        pixels: whether it takes RGB 0..255, else images normalised by `preprocess_input`.
    """

    @classmethod
    def of(cls, trained: TrainedModel) -> "FileClassifier":
        """The classifier of a trained model.

        Args:
            trained: from `keras_pvt.load_model`.
        Returns:
            The classifier.
        Raises:
            ValueError: it takes images that are no squares.
        """
        height, width = trained.size or (0, 0)
        if not height == width > 0:
            raise ValueError(f"a classifier must take squares; this one takes {trained.size}.")
        names = tuple((name, name) for name in trained.classes)
        return cls(
            trained.model,
            height,
            default_resize_size(height),
            names,
            trained.logits,
            trained.pixels,
        )

    @classmethod
    def named(
        cls,
        source: str,
        weights: str | os.PathLike | None = None,
        size: int | None = None,
        classes: str | Sequence[str] | None = None,
    ) -> "FileClassifier":
        """The classifier that a user names.

        Args:
            source: a variant; a .keras file of `keras-pvt train` or `keras_pvt.save_model`; a
                checkpoint; or hf://OWNER/NAME, a hub's repository with one of these.
            weights: of a variant, see `load`.
            size: side of the crop in pixels; None is what the weights were trained on.
            classes: names for the classes of a checkpoint, see `load`.
        Returns:
            The classifier.
        Raises:
            ValueError: none of these, a file for another task, or one that takes another size.
            OSError: a file that cannot be read.
        """
        if source in VARIANTS:
            return cls.load(source, weights, size, classes)
        if weights is not None:
            raise ValueError(f"{source} is a file, which has its own weights; leave out --weights.")
        path = named_file(source)
        whole = path.suffix == ".keras" or path.is_dir()
        # A .keras file without names is a checkpoint for who names its classes.
        if not whole or (classes is not None and not is_described(path)):
            return cls._of_checkpoint(source, recognised(read_checkpoint(path)), size, classes)
        if classes is not None:
            raise ValueError(f"{source} has names of its classes; leave out others.")
        loaded = cls.of(load_model(path, "classification"))
        if size not in (None, loaded.size):
            raise ValueError(
                f"{source} takes images of {loaded.size} pixels; leave out --size {size}."
            )
        return loaded

    @classmethod
    def load(
        cls,
        variant: str,
        weights: str | os.PathLike | None = None,
        size: int | None = None,
        classes: str | Sequence[str] | None = None,
    ) -> "FileClassifier":
        """Build a variant with weights.

        Args:
            variant: name of a row of `keras_pvt.variants.VARIANTS`.
            weights: a name or a file, as for `keras_pvt.classifier`, but with every weight of
                the head; None and "pretrained" take the first name that the table of weights
                has, "none" and "" leave the initial values.
            size: side of the crop in pixels; None is what the weights were trained on.
            classes: names of what a file's weights tell apart, in the order of the outputs, or of
                a table, "imagenet" or "cifar10"; by default those that the file names. Named
                weights have their own.
        Returns:
            The classifier.
        Raises:
            ValueError: an unknown variant, or weights that do not fit, or more or fewer names.
            OSError: weights that cannot be had.
        """
        weights = default_name(variant) if weights in (None, PRETRAINED) else weights
        untrained = are_none(weights)
        if not untrained and (variant, weights) not in WEIGHTS:
            path, word = find(variant, weights), os.fspath(weights)
            if path.suffix == ".keras" and is_described(path):
                raise ValueError(
                    f"{word} is a trained model with its own classes; pass it by --model."
                )
            found = recognised(read_checkpoint(path))
            if found.variant not in (None, variant):
                raise ValueError(f"{word} is a checkpoint of {found.variant}, not of {variant}.")
            return cls._of_checkpoint(word, found._replace(variant=variant), size, classes)
        if classes is not None:
            raise ValueError(
                f"weights {str(weights)!r} have classes of their own; leave out others."
            )
        published = WEIGHTS[variant, default_name(variant) if untrained else str(weights)]
        if published.classes is None:
            raise ValueError(
                f"nobody said which classes the weights {str(weights)!r} of {variant} tell apart; "
                "they are for backbones."
            )
        size = published.image_size if size is None else size
        resize_size = int(published.resize_size / published.image_size * size)
        model = classifier(variant, input_shape=(size, size, 3), include_preprocessing=True)
        if not untrained:
            load_checkpoint(model, find(variant, weights), resize_positions=True)
        return cls(model, size, resize_size, class_table(published.classes))

    @classmethod
    def _of_checkpoint(
        cls, source: str, found: Found, size: int | None, classes: str | Sequence[str] | None
    ) -> "FileClassifier":
        """The classifier of a file of weights, by the names that it or the user has."""
        if found.system is not None or not found.known:
            why = "" if found.system else f": {found.unknown}"
            raise ValueError(
                pointing_to_info(f"{source} is no checkpoint of a PVT classifier{why}.")
            )
        try:
            model, report = model_from_checkpoint(found, None if size is None else (size, size))
        except CheckpointError as error:
            raise ValueError(pointing_to_info(f"{source}: {error}")) from error
        if "head" not in {layer.name for layer in model.layers}:
            raise ValueError(f"{source} has no head, so that it gives no classes.")
        height, width = model.input_shape[1:3]
        size = config_of(model).image_size if height is None else height
        if width not in (None, size):
            raise ValueError(f"a classifier must take squares; {source} takes {height}x{width}.")
        for notice in report.notices:
            logging.getLogger("keras_pvt").warning("%s: %s", source, notice)
        names = named_classes(report.classes or () if classes is None else classes)
        count = model.output_shape[-1]
        if len(names) not in (0, count):
            raise ValueError(f"{source} has {count} classes; got {len(names)} names.")
        logits = model.get_layer("predictions").activation is keras.activations.linear
        return cls(model, size, default_resize_size(size), names, logits, takes_pixels(model))
