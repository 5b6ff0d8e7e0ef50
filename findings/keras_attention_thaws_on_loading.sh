#!/usr/bin/env bash
# A frozen MultiHeadAttention learns again once its model was saved and loaded.
#
# `layer.trainable = False` freezes the dense layers inside too. The file keeps the layer's own flag
# alone: after loading, `layer.trainable` still says False, and all eight weights inside train. The
# optimizer's state no longer fits either, and is dropped with a warning. A Dense layer, and a
# wrapper such as TimeDistributed, keep theirs.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet keras==3.15.1 jax==0.10.2 numpy==2.4.6

cat > "$folder/freeze.py" <<'PYTHON'
import sys

import keras

for name, layer, inputs in (
    ("Dense", keras.layers.Dense(8), 1),
    ("TimeDistributed", keras.layers.TimeDistributed(keras.layers.Dense(8)), 1),
    ("MultiHeadAttention", keras.layers.MultiHeadAttention(2, 4), 2),
):
    tokens = keras.Input((4, 8))
    model = keras.Model(tokens, keras.layers.Dense(2)(layer(*[tokens] * inputs)))
    layer.trainable = False
    before = len(model.trainable_variables)
    model.save(sys.argv[1])
    loaded = keras.saving.load_model(sys.argv[1])
    after = len(loaded.trainable_variables)
    print(f"{name}: {before} trainable before, {after} after; says {loaded.layers[1].trainable}")
PYTHON

echo "versions: keras 3.15.1, jax 0.10.2, numpy 2.4.6"
echo "behaviour: weights inside a frozen MultiHeadAttention are trainable after save and load_model"
seen=$(KERAS_BACKEND=jax "$folder/venv/bin/python" "$folder/freeze.py" "$folder/model.keras" 2>"$folder/log")
echo "output:"
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
Dense: 2 trainable before, 2 after; says False
TimeDistributed: 2 trainable before, 2 after; says False
MultiHeadAttention: 2 trainable before, 10 after; says False
EXPECTED
