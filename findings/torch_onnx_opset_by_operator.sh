#!/usr/bin/env bash
# torch.onnx.export gives another ONNX opset than the one that was asked for, by what is in the model.
#
# The exporter writes opset 18 and converts it down. Where the converter has no way back, as for a
# layer norm below opset 17, it logs that and returns the model of opset 18: no exception, no
# warning. A runtime that takes opset 13 then refuses the file, though a convolution exported by the
# same line is of opset 13. Who needs an opset has to read it from the file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2 numpy==2.4.6

cat > "$folder/export.py" <<'PYTHON'
import warnings

import torch

MODELS = {
    "Conv2d": torch.nn.Conv2d(3, 4, 3),
    "Upsample": torch.nn.Upsample(scale_factor=2.0, mode="bilinear"),
    "LayerNorm": torch.nn.LayerNorm(8),
}
for name, model in MODELS.items():
    got = []
    for asked in (11, 13, 17):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            program = torch.onnx.export(
                model.eval(), (torch.zeros(1, 3, 8, 8),), dynamo=True, opset_version=asked, verbose=False
            )
        assert not any("opset" in str(one.message) for one in caught)
        (opset,) = program.model_proto.opset_import
        got.append(f"{asked} -> {opset.version}")
    print(f"{name:<10}", ", ".join(got))
PYTHON

echo "versions: torch 2.13.0, onnx 1.23.2, onnxscript 0.7.2, numpy 2.4.6"
echo "behaviour: a model is of opset 18 where the converter to the one asked for fails"
seen=$("$folder/venv/bin/python" "$folder/export.py" 2> /dev/null)
echo "output:"
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
Conv2d     11 -> 11, 13 -> 13, 17 -> 17
Upsample   11 -> 18, 13 -> 13, 17 -> 17
LayerNorm  11 -> 18, 13 -> 18, 17 -> 17
EXPECTED
