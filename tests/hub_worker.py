"""Fetches from a hub in a process of its own: python hub_worker.py NAME.

It says that it is ready, waits for a line on its input, fetches, and prints the path.
Keras is left out, for speed: the packages are entered without running their `__init__`.
"""

import pathlib
import sys
import types

ROOT = pathlib.Path(__file__).parents[1] / "keras_pvt"

for name, folder in (("keras_pvt", ROOT), ("keras_pvt.conversion", ROOT / "conversion")):
    package = types.ModuleType(name)
    package.__path__ = [str(folder)]
    sys.modules[name] = package

from keras_pvt.download.hub import fetch  # noqa: E402

print("ready", flush=True)
sys.stdin.readline()
print(fetch(sys.argv[1]))
assert "keras" not in sys.modules
