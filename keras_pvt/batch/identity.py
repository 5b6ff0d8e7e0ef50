"""What tells a job's model from others: the files that it is made of."""

import os
import pathlib

from keras_pvt.batch.options import Options
from keras_pvt.engines.fingerprint import digest
from keras_pvt.engines.named import files_of
from keras_pvt.utils.files import sha256_of


def of_model(options: Options) -> str:
    """32 hexadecimal digits of the files of a model, which are downloaded first where they are not
    here.

    Raises:
        ValueError, OSError: there is no such model.
    """
    from keras_pvt.variants import PRETRAINED, VARIANTS, WEIGHTS, default_name

    if options.model in VARIANTS:
        from keras_pvt.weights import find

        named = options.weights in (None, PRETRAINED)
        name = default_name(options.model) if named else str(options.weights)
        variant = options.model if (options.model, name) in WEIGHTS else None
        return digest(options.model, variant and name, _told(find(options.model, name)))
    if options.weights is not None:
        raise ValueError(
            f"{options.model} is a file, which has its own weights; leave out --weights."
        )
    from keras_pvt.models.trained_model import named_file

    return digest(_told(pathlib.Path(named_file(options.model))))


def _told(path: pathlib.Path) -> list[str]:
    if path.is_dir() or path.suffix == ".json":  # a folder, or what lists the parts of one
        folder = path if path.is_dir() else path.parent
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        return [f"{os.path.relpath(file, folder)} {sha256_of(file)}" for file in files]
    return [path.suffix, *(sha256_of(file) for file in files_of(path))]
