"""The most likely classes, as `keras-pvt predict` has them."""

from collections.abc import Iterable, Iterator
from typing import Any

from keras_pvt.batch.options import Options
from keras_pvt.batch.tasks.wishes import wish
from keras_pvt.classification.decoding import best_classes
from keras_pvt.engines.named import classifier


def fields(options: Options) -> list[tuple[str, Any]]:
    """Ids, names and probabilities of the best classes, best first."""
    import pyarrow as pa

    text = pa.list_(pa.string())
    return [("class_ids", text), ("classes", text), ("probabilities", pa.list_(pa.float32()))]


class Task:
    """See `keras_pvt.batch.tasks`."""

    def __init__(self, options: Options, images: int | None):
        self._top = options.top
        self._classifier = classifier(
            options.model, options.weights, options.size, options.classes, wish(options, images)
        )
        if not self._classifier.classes:
            raise ValueError(
                f"{options.weights or options.model} does not name its classes: --classes names "
                "them (imagenet, cifar10, or a file with a name a line)."
            )
        self.network = self._classifier.model

    def answers(self, sources: Iterable, batch_size: int) -> Iterator:
        """See `keras_pvt.batch.tasks`."""
        for found in self._classifier.predict(sources, batch_size):
            if found.scores is None:
                yield None, found.error
                continue
            best = best_classes(found.scores, self._classifier.classes, self._top)
            ids, names, values = zip(*best, strict=True)
            yield {"class_ids": ids, "classes": names, "probabilities": values}, None
