#!/usr/bin/env bash
# LoRA of a Keras layer cannot learn any more once its model was saved and loaded.
#
# Saving adds the two factors to the kernel, and loading begins with new ones: both are set to 0.
# The gradient of each factor is a product with the other, so that both stay 0 for good, with the
# kernel frozen beside them. `enable_lora` itself draws the first factor at random for that reason.
# No warning is given; the loss stands still.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet keras==3.15.1 jax==0.10.2 numpy==2.4.6

cat > "$folder/learn.py" <<'PYTHON'
import sys

import keras
import numpy as np

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
x, y = rng.standard_normal((64, 8)), rng.standard_normal((64, 3))
model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
model.layers[0].enable_lora(2)
model.layers[0].bias.trainable = False


def learnt(model):
    model.compile(keras.optimizers.Adam(0.05), "mse")
    before = [np.array(v) for v in model.layers[0].variables]
    losses = model.fit(x, y, epochs=30, verbose=0).history["loss"]
    moved = [v.name for v, old in zip(model.layers[0].variables, before) if (np.array(v) != old).any()]
    return f"moved {moved}, loss {'falls' if losses[-1] < 0.95 * losses[0] else 'stands still'}"


model.save(sys.argv[1])
loaded = keras.saving.load_model(sys.argv[1])
loaded.layers[0].bias.trainable = False
print("as made:", learnt(model))
print("as loaded:", learnt(loaded))
PYTHON

echo "versions: keras 3.15.1, jax 0.10.2, numpy 2.4.6"
echo "behaviour: both LoRA factors are 0 after loading, and no gradient reaches either"
seen=$(KERAS_BACKEND=jax "$folder/venv/bin/python" "$folder/learn.py" "$folder/x.keras" 2> /dev/null)
echo "output:"
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
as made: moved ['lora_kernel_a', 'lora_kernel_b'], loss falls
as loaded: moved [], loss stands still
EXPECTED
