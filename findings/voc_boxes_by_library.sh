#!/usr/bin/env bash
# One Pascal VOC file is two boxes, by the library that reads it.
#
# Pascal VOC counts pixels from 1, and the last one is in the box. supervision takes 1 from the left
# and the top for it, globox and labelformat do not: their boxes begin a pixel later. supervision does
# so with fractions too, which are no pixels, and which CVAT and others write into this format. Who
# trains by one and measures by another loses a pixel of each box: an IoU of 0.90 at 20 pixels.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet globox==2.9.0 labelformat==0.1.17 supervision==0.31.2 numpy==2.4.6 pillow==13.0.0

cat > "$folder/read.py" <<'PYTHON'
import pathlib
import sys

import supervision
from globox import AnnotationSet
from labelformat.formats.pascalvoc import PascalVOCObjectDetectionInput
from PIL import Image

for corners in ((11, 21, 30, 40), (10.5, 20.5, 30.0, 40.0)):
    root = pathlib.Path(sys.argv[1], str(corners[0]))
    (root / "images").mkdir(parents=True)
    (root / "xml").mkdir()
    Image.new("RGB", (100, 80)).save(root / "images/a.jpg")
    sides = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    box = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
    (root / "xml/a.xml").write_text(
        "<annotation><filename>a.jpg</filename><size><width>100</width><height>80</height>"
        f"<depth>3</depth></size><object><name>cat</name><bndbox>{box}</bndbox></object></annotation>"
    )
    print("written    ", corners)
    print("globox     ", [box.ltrb for one in AnnotationSet.from_pascal_voc(root / "xml") for box in one.boxes])
    read = PascalVOCObjectDetectionInput(root / "xml", "cat").get_labels()
    found = [one.box for image in read for one in image.objects]
    print("labelformat", [(box.xmin, box.ymin, box.xmax, box.ymax) for box in found])
    (one,) = supervision.DetectionDataset.from_pascal_voc(str(root / "images"), str(root / "xml")).annotations.values()
    print("supervision", [tuple(box) for box in one.xyxy.tolist()])
PYTHON

echo "versions: globox 2.9.0, labelformat 0.1.17, supervision 0.31.2, numpy 2.4.6, pillow 13.0.0"
echo "behaviour: left and top of a box are a pixel apart between libraries"
seen=$("$folder/venv/bin/python" -W ignore "$folder/read.py" "$folder/data")
echo "output:"
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
written     (11, 21, 30, 40)
globox      [(11.0, 21.0, 30.0, 40.0)]
labelformat [(11.0, 21.0, 30.0, 40.0)]
supervision [(10.0, 20.0, 30.0, 40.0)]
written     (10.5, 20.5, 30.0, 40.0)
globox      [(10.5, 20.5, 30.0, 40.0)]
labelformat [(10.5, 20.5, 30.0, 40.0)]
supervision [(9.5, 19.5, 30.0, 40.0)]
EXPECTED
