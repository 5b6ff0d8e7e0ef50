#!/usr/bin/env bash
# Keras's RandomRotation turns masks otherwise than their images on PyTorch.
#
# Image and mask here are the same array, a rectangle in a corner. After a turn by 90 degrees both
# have it in the same place on JAX. On PyTorch the image is right, and the mask is empty: it was
# turned by another matrix, which moved the rectangle out of the picture. So a segmenter learns from
# wrong labels, or none, without a word.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet keras==3.15.1 jax==0.10.2 torch==2.13.0 numpy==2.4.6

cat > "$folder/turn.py" <<'PYTHON'
import keras
import numpy as np

picture = np.zeros((1, 16, 24, 1), "float32")
picture[0, 2:6, 3:9] = 1
turn = keras.layers.RandomRotation((0.25, 0.25), "constant", interpolation="nearest", seed=0)
both = {name: keras.ops.array(picture) for name in ("images", "segmentation_masks")}
for name, turned in turn(both, training=True).items():
    rows, columns = np.nonzero(np.array(turned)[0, ..., 0])
    place = f"rows {rows.min()}-{rows.max()}, columns {columns.min()}-{columns.max()}" if len(rows) else "none"
    print(f"{name}: {len(rows)} cells, {place}")
PYTHON

echo "versions: keras 3.15.1, jax 0.10.2, torch 2.13.0, numpy 2.4.6"
echo "behaviour: RandomRotation moves a mask out of the picture on PyTorch, and not on JAX"
seen=$(for backend in jax torch; do
    echo "$backend"
    KERAS_BACKEND=$backend "$folder/venv/bin/python" "$folder/turn.py" 2> /dev/null
done)
echo "output:"
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
jax
images: 20 cells, rows 11-15, columns 6-9
segmentation_masks: 20 cells, rows 11-15, columns 6-9
torch
images: 20 cells, rows 11-15, columns 6-9
segmentation_masks: 0 cells, none
EXPECTED
