#!/usr/bin/env bash
# Keras's adaptive average pooling on JAX: NaN where the map is as small as what is asked for.
#
# A map of ones, 7x7, pooled to 7x7 is itself. On JAX 26.5 % of the numbers are NaN; on NumPy's
# backend none. Maps of 8x8 and 16x16 are right, so that a test at a usual size passes. Whoever
# pools to a fixed grid, as linear attention does, meets it at the size of the last stage.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet keras==3.15.1 jax==0.10.2 numpy==2.4.6

cat > "$folder/pool.py" <<'PYTHON'
import keras
import numpy as np

for side in (7, 8, 16):
    y = keras.layers.AdaptiveAveragePooling2D(7)(np.ones((1, side, side, 1), "float32"))
    print(f"{keras.backend.backend()} {side}x{side} to 7x7: {int(np.isnan(np.array(y)).sum())} of 49 NaN")
PYTHON

echo "versions: keras 3.15.1, jax 0.10.2, numpy 2.4.6"
echo "behaviour: AdaptiveAveragePooling2D(7) of ones gives NaN on JAX where the map is 7x7"
seen=$(for backend in jax numpy; do KERAS_BACKEND=$backend "$folder/venv/bin/python" "$folder/pool.py"; done)
echo "output:"
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
jax 7x7 to 7x7: 13 of 49 NaN
jax 8x8 to 7x7: 0 of 49 NaN
jax 16x16 to 7x7: 0 of 49 NaN
numpy 7x7 to 7x7: 0 of 49 NaN
numpy 8x8 to 7x7: 0 of 49 NaN
numpy 16x16 to 7x7: 0 of 49 NaN
EXPECTED
