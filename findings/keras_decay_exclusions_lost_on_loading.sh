#!/usr/bin/env bash
# A Keras model that is loaded decays the biases that its optimizer was told to leave alone.
#
# `exclude_from_weight_decay` is how a recipe keeps biases and norms out of AdamW's decay. A .keras
# file has the optimizer, its moments and its rate, but not what was excluded: training that goes on
# from the file pulls every bias and norm towards zero, and no warning is given.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet keras==3.15.1 jax==0.10.2 numpy==2.4.6

cat > "$folder/train.py" <<'PYTHON'
import sys

import keras
import numpy as np


def bias_after_an_epoch(model):
    """The data fit already, so that the gradient is zero: what moves is the decay."""
    model.fit(np.zeros((4, 1)), np.ones((4, 1)), verbose=0)
    return round(float(model.layers[0].bias[0]), 4)


model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, bias_initializer="ones")])
optimizer = keras.optimizers.AdamW(0.1, weight_decay=0.5)
optimizer.exclude_from_weight_decay(var_names=["bias"])
model.compile(optimizer, "mse")
print("trained:              bias", bias_after_an_epoch(model))
model.save(sys.argv[1])
print("trained on, in place: bias", bias_after_an_epoch(model))
print("trained on, loaded:   bias", bias_after_an_epoch(keras.saving.load_model(sys.argv[1])))
PYTHON

echo "versions: keras 3.15.1, jax 0.10.2, numpy 2.4.6"
echo "behaviour: an optimizer that was saved and loaded has forgotten what it must not decay"
seen=$(KERAS_BACKEND=jax "$folder/venv/bin/python" "$folder/train.py" "$folder/model.keras" 2> /dev/null)
echo "output:"
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
trained:              bias 1.0
trained on, in place: bias 1.0
trained on, loaded:   bias 0.95
EXPECTED
