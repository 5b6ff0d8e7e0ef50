"""Embeddings: what a classifier knows of an image before its head names a class."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from keras_pvt.batch.options import Options
from keras_pvt.batch.tasks.wishes import wish
from keras_pvt.classification.file_predictions import CropClassifier


def fields(options: Options) -> list[tuple[str, Any]]:
    """The embedding in float16, which halves the storage."""
    import pyarrow as pa

    return [("embedding", pa.list_(pa.float16()))]


class Task:
    """See `keras_pvt.batch.tasks`."""

    def __init__(self, options: Options, images: int | None):
        from keras_pvt.classification.predictor import FileClassifier
        from keras_pvt.engines.subject import Subject

        own = FileClassifier.named(options.model, options.weights, options.size)
        encoder = encoder_of(own.model, options.pooling)
        wanted = wish(options, images)
        self.network = (
            encoder if wanted.is_keras else wanted.network(Subject.of(encoder), own.pixels)
        )
        # Its "scores" are embeddings, which no softmax follows.
        fields = {one.name: getattr(own, one.name) for one in dataclasses.fields(CropClassifier)}
        self._encoder = CropClassifier(**fields | {"model": self.network, "logits": False})

    def answers(self, sources: Iterable, batch_size: int) -> Iterator:
        """See `keras_pvt.batch.tasks`."""
        for found in self._encoder.predict(sources, batch_size):
            if found.scores is None:
                yield None, found.error
                continue
            # Nothing is lost without a word: float16 ends at 65504.
            vector = np.asarray(found.scores, "float32")
            if not np.abs(vector).max() <= np.finfo("float16").max:
                yield None, "the embedding has numbers that float16 has not"
            else:
                yield {"embedding": vector.astype("float16")}, None


def encoder_of(model: Any, pooling: str) -> Any:
    """A classifier without its head.

    Args:
        model: of `keras_pvt.classifier`, with its head.
        pooling: "token", "avg", or "head" for that of the two that the head sees.
    Returns:
        A model of the same input, which gives `(B, C)`.
    Raises:
        ValueError: a family without a class token is asked for it.
    """
    from keras_pvt import families
    from keras_pvt.models.classifier import classifier
    from keras_pvt.models.inputs import takes_pixels

    config = families.config_of(model)
    seen = "avg" if families.named(config.family).token is None else "token"
    encoder = classifier(
        config,
        include_top=False,
        pooling=seen if pooling == "head" else pooling,
        input_shape=model.input_shape[1:],
        include_preprocessing=takes_pixels(model),
    )
    for layer in encoder.layers:
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    return encoder
