#!/usr/bin/env bash
# A PVT of transformers has a number of classes and no names for them, so that its own pipeline fails.
#
# `PvtConfig` has a field `num_labels` of its own, 1000, in place of what every other configuration
# makes of `id2label`. So `num_labels=5` gives PVTv2 five names and PVT none; the pipeline computes
# the scores, and then looks their names up in None. And of a file with five names and no number,
# as each configuration was written before, PVT makes a head of 1000 classes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet transformers==5.23.0 torch==2.13.0 numpy==2.4.6 pillow==13.0.0

cat > "$folder/classify.py" <<'PYTHON'
import numpy as np
import transformers
from PIL import Image

picture = Image.fromarray(np.zeros((64, 64, 3), "uint8"))
processor = transformers.PvtImageProcessorPil(size={"height": 64, "width": 64})
names = {n: f"kind {n}" for n in range(5)}
for kind, small in (
    ("Pvt", {"image_size": 64, "hidden_sizes": (8, 16, 40, 64)}),
    ("PvtV2", {"image_size": 64, "hidden_sizes": (8, 16, 40, 64)}),
):
    config = getattr(transformers, f"{kind}Config")
    model = getattr(transformers, f"{kind}ForImageClassification")
    numbered = config(num_labels=5, **small)
    print(f"{kind}, num_labels=5: id2label {numbered.id2label and len(numbered.id2label)}")
    classify = transformers.pipeline(
        "image-classification", model=model(numbered).eval(), image_processor=processor
    )
    try:
        print(f"{kind}, pipeline: {len(classify(picture))} classes")
    except TypeError as error:
        print(f"{kind}, pipeline: TypeError: {error}")
    head = model(config(id2label=names, **small)).classifier
    print(f"{kind}, five names in id2label: head of {head.out_features}")
PYTHON

echo "versions: transformers 5.23.0, torch 2.13.0"
echo "behaviour: PvtConfig makes no id2label of num_labels, and no number of an id2label"
seen=$("$folder/venv/bin/python" "$folder/classify.py" 2> "$folder/err" || { cat "$folder/err"; exit 1; })
echo "output:"
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
Pvt, num_labels=5: id2label None
Pvt, pipeline: TypeError: 'NoneType' object is not subscriptable
Pvt, five names in id2label: head of 1000
PvtV2, num_labels=5: id2label 5
PvtV2, pipeline: 5 classes
PvtV2, five names in id2label: head of 5
EXPECTED
