"""The local file that a user names; Keras is not imported for it."""

import os
import pathlib

from keras_pvt.download.hub_names import is_hub_name


def local_file(source: str | os.PathLike) -> pathlib.Path:
    """The local file that a user names: a path stays as it is, and a name on a hub is fetched.

    Args:
        source: a path, or hf://OWNER/NAME[@REVISION][/FILE].
    Returns:
        A path, which need not exist where a path was given.
    Raises:
        ValueError: a name on a hub that is none.
        OSError: nothing can be had by it; says why, and what to do.
        ImportError: `huggingface_hub` is not installed.
    """
    if not is_hub_name(source):
        return pathlib.Path(source).expanduser()
    from keras_pvt.download.hub import fetch

    return fetch(os.fspath(source))
