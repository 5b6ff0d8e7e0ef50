#!/usr/bin/env bash
# An empty subclass of Keras's AdamW calls four times as many operations on PyTorch as AdamW.
#
# On PyTorch, calling a class of `keras.optimizers` makes an object of another class, which updates
# all variables in one go (`torch._foreach_...`). The class is chosen by identity: a subclass gets
# the loop over variables. Its results are the same, so nothing shows but the time of a step.
# `type(keras.optimizers.AdamW())` as the base keeps the fast path. What has no such class, such as
# Muon, takes the loop in any case.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet keras==3.15.1 torch==2.13.0 numpy==2.4.6

cat > "$folder/operations.py" <<'PYTHON'
import keras
import torch
from torch.profiler import ProfilerActivity, profile


def update(made):
    """Operations in the second update of 100 variables, and what they are then."""
    variables = [keras.Variable(torch.ones(4, 3)) for _ in range(100)]
    optimizer = made(0.125)
    for _ in range(2):
        gradients = [torch.full((4, 3), 0.5) for _ in variables]
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            optimizer.apply(gradients, variables)
    events = [event for event in seen.key_averages() if event.key.startswith("aten::")]
    return sum(event.count for event in events), torch.stack([v.value.detach() for v in variables])


for name in ("SGD", "AdamW", "Muon"):
    kind = getattr(keras.optimizers, name)
    (own, ours), (derived, theirs) = update(kind), update(type("Mine", (kind,), {}))
    (kept, _) = update(type("Mine", (type(kind(0.125)),), {}))
    equal = "equal" if torch.equal(ours, theirs) else "different"
    print(f"{name}: {own} operations, a subclass {derived}, of what it makes {kept}; {equal} results")
PYTHON

echo "versions: keras 3.15.1, torch 2.13.0, numpy 2.4.6"
echo "behaviour: on PyTorch a subclass of an optimizer of Keras updates weight by weight, and the class itself all at once"
seen=$(KERAS_BACKEND=torch "$folder/venv/bin/python" "$folder/operations.py" 2> /dev/null | grep operations)
echo "output:"
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
SGD: 112 operations, a subclass 1108, of what it makes 112; equal results
AdamW: 2569 operations, a subclass 9921, of what it makes 2569; equal results
Muon: 25108 operations, a subclass 25108, of what it makes 25108; equal results
EXPECTED
