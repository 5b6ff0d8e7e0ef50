#!/usr/bin/env bash
# datumaro gives YOLO's boxes the names of other classes.
#
# `names` in data.yaml may be a mapping from ids to names, and a mapping has no order: Ultralytics
# looks each id up. datumaro takes the names in the order of the lines instead, so that id 1 is the
# second line's name, whatever the line says. No warning is given; whoever converts such a set has
# cats for dogs.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet datumaro==1.13.12 numpy==2.4.6 pillow==12.3.0

cat > "$folder/read.py" <<'PYTHON'
import pathlib
import sys

import datumaro
from PIL import Image

for order in ("{0: cat, 1: dog}", "{1: dog, 0: cat}"):
    root = pathlib.Path(sys.argv[1], order[1])
    for name in ("images/train", "labels/train"):
        (root / name).mkdir(parents=True)
    Image.new("RGB", (100, 80)).save(root / "images/train/a.jpg")
    (root / "labels/train/a.txt").write_text("1 0.2 0.4375 0.2 0.375\n")
    (root / "data.yaml").write_text(f"train: images/train\nval: images/train\nnames: {order}\n")
    read = datumaro.Dataset.import_from(str(root), "yolo")
    names = read.categories()[datumaro.AnnotationType.label]
    labels = {names[one.label].name for item in read for one in item.annotations}
    print(f"names {order}: the box of id 1 is a", *labels)
PYTHON

echo "versions: datumaro 1.13.12, numpy 2.4.6, pillow 12.3.0"
echo "behaviour: the ids of names in data.yaml are not looked at, but the order of their lines"
seen=$("$folder/venv/bin/python" "$folder/read.py" "$folder/data" 2> /dev/null)
echo "output:"
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
names {0: cat, 1: dog}: the box of id 1 is a dog
names {1: dog, 0: cat}: the box of id 1 is a cat
EXPECTED
