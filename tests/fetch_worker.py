"""Fetches in a process of its own: python fetch_worker.py URL CONFIG_JSON.

It says that it is ready, waits for a line on its input, fetches, and prints the path.
Keras is left out, for speed: the packages are entered without running their `__init__`.
"""

import json
import pathlib
import sys
import types

ROOT = pathlib.Path(__file__).parents[1] / "keras_pvt"

for name, folder in (("keras_pvt", ROOT), ("keras_pvt.conversion", ROOT / "conversion")):
    package = types.ModuleType(name)
    package.__path__ = [str(folder)]
    sys.modules[name] = package

from keras_pvt.download import fetch  # noqa: E402
from keras_pvt.variants import VARIANTS, WEIGHTS, PVTConfig, Weights  # noqa: E402

url, config = sys.argv[1:]
VARIANTS["pvt_test"] = PVTConfig(**json.loads(config))
WEIGHTS["pvt_test", "imagenet"] = Weights("a test", url, None, "imagenet", top1=0.0)
print("ready", flush=True)
sys.stdin.readline()
print(fetch("pvt_test"))
assert "keras" not in sys.modules
