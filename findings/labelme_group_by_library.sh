#!/usr/bin/env bash
# Two LabelMe polygons of one group are one object or two, by the library that reads them.
#
# LabelMe marks the parts of one object, such as a cat behind a fence, by an equal `group_id`.
# supervision makes one box of the parts, globox one of each: by globox the image has an object
# more, and a detector learns halves. Neither library has an option for it, or a warning.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet globox==2.9.0 supervision==0.31.2 numpy==2.4.6 pillow==13.0.0

cat > "$folder/read.py" <<'PYTHON'
import json
import pathlib
import sys

import supervision
from globox import Annotation
from PIL import Image

folder = pathlib.Path(sys.argv[1])
Image.new("RGB", (100, 80)).save(folder / "a.jpg")
for group in (None, 1):
    parts = ([[10, 20], [30, 20], [30, 50]], [[60, 20], [70, 20], [70, 50]])
    entry = {"label": "cat", "shape_type": "polygon", "group_id": group, "flags": {}}
    content = {"version": "5.4.1", "flags": {}, "imagePath": "a.jpg", "imageData": None}
    content |= {"imageHeight": 80, "imageWidth": 100}
    content["shapes"] = [{**entry, "points": points} for points in parts]
    (folder / "a.json").write_text(json.dumps(content))
    read = Annotation.from_labelme(folder / "a.json", include_poly=True)
    print(f"group_id {group}: globox     ", [box.ltrb for box in read.boxes])
    (found,) = supervision.DetectionDataset.from_labelme(str(folder), str(folder)).annotations.values()
    print(f"group_id {group}: supervision", [tuple(box) for box in found.xyxy.tolist()])
PYTHON

echo "versions: globox 2.9.0, supervision 0.31.2, numpy 2.4.6, pillow 13.0.0"
echo "behaviour: globox takes the parts of a group for objects of their own"
mkdir "$folder/data"
seen=$("$folder/venv/bin/python" -W ignore "$folder/read.py" "$folder/data" 2> /dev/null)
echo "output:"
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
group_id None: globox      [(10.0, 20.0, 30.0, 50.0), (60.0, 20.0, 70.0, 50.0)]
group_id None: supervision [(10.0, 20.0, 30.0, 50.0), (60.0, 20.0, 70.0, 50.0)]
group_id 1: globox      [(10.0, 20.0, 30.0, 50.0), (60.0, 20.0, 70.0, 50.0)]
group_id 1: supervision [(10.0, 20.0, 70.0, 50.0)]
EXPECTED
