"""Lets an engine compute in a process of its own: python engine_worker.py IMAGES.npy.

It says that it is ready, waits for a line on its input, and prints what the engine logs and, as the
last line, the scores of PVTNano in JSON.
"""

import json
import logging
import sys

import numpy as np

import keras_pvt

logging.basicConfig(stream=sys.stdout, format="%(message)s")
logging.getLogger("keras_pvt.engines").setLevel(logging.INFO)
model = keras_pvt.PVTNano(weights="cifar10", include_preprocessing=True)
predictor = keras_pvt.Predictor(model, engine="onnxruntime")
print("ready", flush=True)
sys.stdin.readline()
print(json.dumps(predictor(np.load(sys.argv[1])).tolist()))
