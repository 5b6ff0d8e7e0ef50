#!/usr/bin/env bash
# globox and labelformat read turned boxes of CVAT as if they were not turned, and drop other shapes.
#
# CVAT for images 1.1 writes a box's corners before its turn, and the turn beside them. Both libraries
# leave the turn out: a box that stands on end is read lying, half of it beside its object. Polygons,
# ellipses and masks of the same image are left out. Neither library warns.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet globox==2.9.0 labelformat==0.1.17 numpy==2.4.6

cat > "$folder/annotations.xml" <<'XML'
<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><labels><label><name>cat</name></label></labels></task></meta>
  <image id="0" name="a.jpg" width="100" height="80">
    <box label="cat" source="manual" occluded="0" xtl="10" ytl="20" xbr="50" ybr="40" rotation="90.0" z_order="0"/>
    <polygon label="cat" source="manual" occluded="0" points="10,20;30,20;30,50" z_order="0"/>
    <ellipse label="cat" source="manual" occluded="0" cx="20" cy="35" rx="10" ry="15" z_order="0"/>
    <mask label="cat" source="manual" occluded="0" rle="0, 600" left="10" top="20" width="20" height="30" z_order="0"/>
  </image>
</annotations>
XML

cat > "$folder/read.py" <<'PYTHON'
import pathlib
import sys

from globox import AnnotationSet
from labelformat.formats.cvat import CVATObjectDetectionInput

file = pathlib.Path(sys.argv[1])
print("globox", [box.ltrb for one in AnnotationSet.from_cvat(file) for box in one.boxes])
read = [one.box for image in CVATObjectDetectionInput(file).get_labels() for one in image.objects]
print("labelformat", [(box.xmin, box.ymin, box.xmax, box.ymax) for box in read])
PYTHON

echo "versions: globox 2.9.0, labelformat 0.1.17, numpy 2.4.6"
echo "behaviour: of four shapes one is read, where the box is before its turn; it is (20, 10, 40, 50)"
seen=$("$folder/venv/bin/python" -W error "$folder/read.py" "$folder/annotations.xml")
echo "output:"
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
globox [(10.0, 20.0, 50.0, 40.0)]
labelformat [(10.0, 20.0, 50.0, 40.0)]
EXPECTED
