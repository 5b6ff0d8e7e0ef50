"""Imported first, it lets a process have parts of keras_pvt without Keras, for speed: the packages
are entered without running their `__init__`."""

import pathlib
import sys
import types

ROOT = pathlib.Path(__file__).parents[1] / "keras_pvt"

for name, folder in (("keras_pvt", ROOT), ("keras_pvt.conversion", ROOT / "conversion")):
    package = types.ModuleType(name)
    package.__path__ = [str(folder)]
    sys.modules[name] = package
