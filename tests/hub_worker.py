"""Fetches from a hub in a process of its own: python hub_worker.py NAME.

It says that it is ready, waits for a line on its input, fetches, and prints the path.
"""

import sys

import without_keras  # noqa: F401, before the packages that it enters

from keras_pvt.download.hub import fetch

print("ready", flush=True)
sys.stdin.readline()
print(fetch(sys.argv[1]))
assert "keras" not in sys.modules
