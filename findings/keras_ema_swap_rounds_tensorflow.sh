#!/usr/bin/env bash
# Keras's SwapEMAWeights on TensorFlow changes the weights that it is to bring back.
#
# The callback puts averaged weights into a model while it is evaluated, and the trained ones back
# afterwards. On TensorFlow it swaps the two by adding and subtracting, so that both come back
# rounded: a run that evaluates goes on with other weights than one that does not, or that is
# resumed from a checkpoint written before the evaluation. On JAX no bit changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet keras==3.15.1 tensorflow-cpu==2.21.0 jax==0.10.2 numpy==2.4.6

cat > "$folder/swap.py" <<'PYTHON'
import keras
import numpy as np

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
x = rng.standard_normal((64, 20)).astype("float32")
y = x @ rng.standard_normal((20, 30)).astype("float32")
model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(30)])
model.compile(keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9), "mse")
for _ in range(20):
    model.train_on_batch(x, y)  # `fit` would end in the averaged weights
before = np.array(model.layers[0].kernel)
model.evaluate(x, y, callbacks=[keras.callbacks.SwapEMAWeights()], verbose=0)
after = np.array(model.layers[0].kernel)
largest = float(abs(before - after).max())
by = "by less than 1e-6" if 0 < largest < 1e-6 else f"by {largest:g}"
print(f"{keras.backend.backend()}: {'some' if largest else 'no'} weights differ after evaluate, {by}")
PYTHON

echo "versions: keras 3.15.1, tensorflow-cpu 2.21.0, jax 0.10.2, numpy 2.4.6"
echo "behaviour: on TensorFlow, weights that SwapEMAWeights brings back are not those it took"
seen=$(for backend in tensorflow jax; do
  KERAS_BACKEND=$backend TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" "$folder/swap.py" 2> /dev/null
done)
echo "output:"
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
tensorflow: some weights differ after evaluate, by less than 1e-6
jax: no weights differ after evaluate, by 0
EXPECTED
