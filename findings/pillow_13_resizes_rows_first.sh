#!/usr/bin/env bash
# Pillow 13 resizes tall images to other pixels than Pillow 12.
#
# `resize` filters columns and rows one after the other, and rounds to 8 bits in between, so that the
# order shows. Pillow 12 always takes the columns first; Pillow 13 takes the rows first where the
# height shrinks far more than the width, which is faster. Here a fifth of the values of such an image
# differ, by up to 2, and so do a model's outputs for it. Numbers recorded with one version are not
# those of the other, and a port that is exact for one is not exact for the other.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 12.3.0 13.0.0; do
  python3 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install --quiet pillow==$version numpy==2.4.6
done

cat > "$folder/resize.py" <<'PYTHON'
import pathlib
import sys

import numpy as np
from PIL import Image

SIZES = {"wide": (40, 500), "as tall as wide": (200, 200), "tall": (500, 40)}  # height, width
for name, size in SIZES.items():
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype("uint8")
    small = Image.fromarray(pixels).resize((32, 32), Image.Resampling.BICUBIC)
    file = pathlib.Path(sys.argv[1], f"{name}.npy")
    if file.exists():
        difference = np.abs(np.load(file) - np.asarray(small, "int16"))
        print(f"{name}: {'some' if difference.any() else 'no'} pixels differ")
    else:
        np.save(file, np.asarray(small, "int16"))
PYTHON

echo "versions: pillow 12.3.0 and 13.0.0, numpy 2.4.6"
echo "behaviour: the same call gives other pixels for a tall image, and the same for others"
"$folder/12.3.0/bin/python" "$folder/resize.py" "$folder"
seen=$("$folder/13.0.0/bin/python" "$folder/resize.py" "$folder")
echo "output:"
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
wide: no pixels differ
as tall as wide: no pixels differ
tall: some pixels differ
EXPECTED
