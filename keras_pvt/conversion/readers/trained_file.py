"""What `keras_pvt.save_model` notes in a `.keras` file beside the model, read without Keras."""

import json
from collections.abc import Iterable
from typing import Any

from keras_pvt.conversion.readers.mapped import CheckpointError
from keras_pvt.utils.extras import LIBRARIES

# Member of the .keras file, which is a zip file; Keras leaves it alone.
MEMBER = "keras_pvt.json"
# The same in files of version 0.1.0, and the task of what has it.
OLD_MEMBERS = {
    "keras_pvt_detector.json": "detection",
    "keras_pvt_segmenter.json": "segmentation",
}
# In bytes; 10,000 long names have less.
LARGEST = 1 << 22
# The command for a task, and what does it.
VERBS = {"classification": "predict", "detection": "detect", "segmentation": "segment"}
KINDS = {"classification": "classifier", "detection": "detector", "segmentation": "segmenter"}


def member_of(names: Iterable[str]) -> str | None:
    """The member that has the facts, of those in a file; None: there is none."""
    members = set(names)
    return next((name for name in (MEMBER, *OLD_MEMBERS) if name in members), None)


def read_facts(member: str, data: bytes) -> dict[str, Any]:
    """The fields of a `keras_pvt.TrainedModel` but for its model, and its "preprocessing".

    Args:
        member: of the file, see `member_of`.
        data: its content.
    Raises:
        CheckpointError: it is no JSON, or too large.
        TypeError: a field that cannot be.
        KeyError: a field is missing.
    """
    if len(data) > LARGEST:
        raise CheckpointError(f"its {member} has more than {LARGEST} bytes")
    try:
        facts = json.loads(data)
    except ValueError as error:  # also a number of too many digits
        raise CheckpointError(f"its {member} is no JSON: {error}") from error
    return _checked(facts, OLD_MEMBERS.get(member))


def _checked(facts: dict, old_task: str | None) -> dict[str, Any]:
    """Fields from a file; TypeError or KeyError for what they cannot be."""
    task = old_task or facts["task"]
    size = facts["size"] if old_task != "segmentation" else None
    fields: dict[str, Any] = {
        "task": task,
        "system": "" if old_task else facts["system"],
        "classes": tuple(facts["classes"]),
        "size": None if size is None else tuple(size),
        "logits": old_task == "segmentation" if old_task else facts["logits"],
        "library": facts["library"] if old_task != "segmentation" else "keras_pvt",
    }
    fields["preprocessing"] = facts.get("preprocessing")  # files of 0.1.0 do not say
    sides = fields["size"] or (1, 1)
    fits = (
        task in VERBS
        and isinstance(facts["classes"], list)
        and len(set(fields["classes"])) == len(fields["classes"])
        and all(isinstance(name, str) for name in (*fields["classes"], fields["system"]))
        and len(sides) == 2
        and (size is not None or task == "segmentation")
        and all(type(side) is int and side > 0 for side in sides)
        and isinstance(fields["logits"], bool)
        and fields["library"] in ("keras_pvt", *LIBRARIES)
        and fields["preprocessing"] in (None, "inside", "preprocess_input")
    )
    if not fits:
        raise TypeError(f"a description that cannot be: {fields}")
    return fields
