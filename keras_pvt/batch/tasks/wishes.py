"""What a job wants of engines."""

import pathlib

from keras_pvt.batch.options import Options
from keras_pvt.engines.named import Wish


def wish(options: Options, images: int | None) -> Wish:
    """Of the options of a job, see `Wish`."""
    folder = options.representative
    found = None if folder is None else pathlib.Path(folder)
    return Wish(options.engine, options.precision, found, images)


def names(options: Options) -> list[str] | None:
    """The names of classes that a user gave for a file that has none."""
    from keras_pvt.classification.decoding import named_classes

    if options.classes is None:
        return None
    return [name for _, name in named_classes(options.classes)]
