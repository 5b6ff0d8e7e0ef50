"""Fetches in a process of its own: python fetch_worker.py URL CONFIG_JSON.

It says that it is ready, waits for a line on its input, fetches, and prints the path.
"""

import json
import sys

import without_keras  # noqa: F401, before the packages that it enters

from keras_pvt.download import fetch
from keras_pvt.variants import VARIANTS, WEIGHTS, PVTConfig, Weights

url, config = sys.argv[1:]
VARIANTS["pvt_test"] = PVTConfig(**json.loads(config))
WEIGHTS["pvt_test", "imagenet"] = Weights("a test", url, None, "imagenet", top1=0.0)
print("ready", flush=True)
sys.stdin.readline()
print(fetch("pvt_test"))
assert "keras" not in sys.modules
