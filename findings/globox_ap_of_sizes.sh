#!/usr/bin/env bash
# globox halves COCO's AP of medium objects because of an object that is large.
#
# For the AP of a size COCO ignores objects of other sizes, and with them the detections that match
# them. globox computes the ten thresholds as COCO does, but drops such a match as soon as the image
# has any object of the size in question, however far away. The detection then counts as a false
# alarm where its own box is of that size. AP over all sizes agrees, so that nothing looks wrong.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet globox==2.9.0 pycocotools==2.0.11 numpy==2.4.6

cat > "$folder/measure.py" <<'PYTHON'
import contextlib
import io

from globox import Annotation, AnnotationSet, BoundingBox, COCOEvaluator
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

# Left, top, width, height: 97 x 97 is a large object for COCO (above 96 x 96), 95 x 95 a medium one.
OBJECTS = [(10, 10, 97, 97), (300, 200, 50, 50)]
FOUND = [((11, 11, 95, 95), 0.9), ((300, 200, 50, 50), 0.8)]


def with_globox():
    sets = []
    for boxes in ([(box, None) for box in OBJECTS], FOUND):
        image = Annotation("1", (640, 480))
        for (left, top, width, height), score in boxes:
            corners = {"xmin": left, "ymin": top, "xmax": left + width, "ymax": top + height}
            image.add(BoundingBox(label="cat", confidence=score, **corners))
        sets.append(AnnotationSet([image]))
    one = COCOEvaluator(ground_truths=sets[0], predictions=sets[1])
    return one.ap_50(), one.ap_medium()


def with_pycocotools():
    entry = {"image_id": 1, "category_id": 1}
    truth = COCO()
    truth.dataset = {
        "images": [{"id": 1, "width": 640, "height": 480}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {"id": n, "bbox": list(box), "area": box[2] * box[3], "iscrowd": 0, **entry}
            for n, box in enumerate(OBJECTS, 1)
        ],
    }
    truth.createIndex()
    found = truth.loadRes([{"bbox": list(box), "score": score, **entry} for box, score in FOUND])
    one = COCOeval(truth, found, "bbox")
    for step in (one.evaluate, one.accumulate, one.summarize):
        step()
    return one.stats[1], one.stats[4]


for name, measure in (("globox", with_globox), ("pycocotools", with_pycocotools)):
    with contextlib.redirect_stdout(io.StringIO()):
        ap_50, ap_medium = measure()
    print(f"{name:<12} AP50 {ap_50:.3f}  AP of medium objects {ap_medium:.3f}")
PYTHON

echo "versions: globox 2.9.0, pycocotools 2.0.11, numpy 2.4.6"
echo "behaviour: of two objects that are found, the medium one has half of pycocotools' AP"
seen=$("$folder/venv/bin/python" -W ignore "$folder/measure.py" 2> /dev/null)
echo "output:"
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
globox       AP50 1.000  AP of medium objects 0.500
pycocotools  AP50 1.000  AP of medium objects 1.000
EXPECTED
