#!/usr/bin/env bash
# `layer.trainable = True` thaws what is inside on JAX, and on TensorFlow only if it was False.
#
# Keras hands the flag on to the layers inside. On TensorFlow, an attribute that is set to the
# object that it has already is left alone, and so are the layers inside: of a model that is
# trainable, with one layer frozen, `model.trainable = True` thaws that layer on one backend and
# not on the other. Code that unfreezes a model this way trains fewer weights there, without a word.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet keras==3.15.1 tensorflow-cpu==2.21.0 jax==0.10.2 numpy==2.4.6

cat > "$folder/thaw.py" <<'PYTHON'
import keras

model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])
model.layers[0].trainable = False
model.trainable = True
kept = len(model.trainable_variables)
model.trainable = False
model.trainable = True
print(f"{keras.backend.backend()}: {kept} of 4 trainable after True, {len(model.trainable_variables)} after False and True")
PYTHON

echo "versions: keras 3.15.1, tensorflow-cpu 2.21.0, jax 0.10.2, numpy 2.4.6"
echo "behaviour: setting trainable to True where it is True thaws inner layers on JAX, not on TensorFlow"
seen=$(for backend in tensorflow jax; do
  KERAS_BACKEND=$backend TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" "$folder/thaw.py" 2> /dev/null
done)
echo "output:"
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
tensorflow: 2 of 4 trainable after True, 4 after False and True
jax: 4 of 4 trainable after True, 4 after False and True
EXPECTED
