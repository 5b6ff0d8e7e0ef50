"""Models for hubs: `save` writes a folder that another library loads, ready to be uploaded.

Where KerasHub is installed, the classes that make PVT a member of it are here too: import this
module to load a preset made with them.
"""

import importlib
import importlib.util

from keras_pvt.hub.folders import save
from keras_pvt.utils.extras import needed_for

__all__ = ["save"]

_MEMBERS = (
    "PVTHubBackbone",
    "PVTImageClassifier",
    "PVTImageClassifierPreprocessor",
    "PVTImageConverter",
    "PVTSegFormerEncoder",
)

# At once, as KerasHub finds classes by the names that importing them registers.
if importlib.util.find_spec("keras_hub") is not None:
    importlib.import_module("keras_pvt.hub.members")
    __all__ += _MEMBERS


def __getattr__(name: str):
    """A class for KerasHub."""
    if name not in _MEMBERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needed_for(f"keras_pvt.hub.{name}", "keras_hub"):
        from keras_pvt.hub import members
    return getattr(members, name)
