"""The model card of a folder for a hub, its README.md."""

import json
from collections.abc import Mapping

from keras_pvt.hub.subject import Subject
from keras_pvt.models.preprocessing import channel_statistics

SHOWN = 30  # names of classes
PIPELINES = {
    "classification": "image-classification",
    "features": "image-feature-extraction",
    "detection": "object-detection",
    "segmentation": "image-segmentation",
}
PAPERS = {"pvt": "2102.12122", "pvt_v2": "2106.13797"}


def card(
    subject: Subject, library: str, title: str, usage: str, metrics: Mapping[str, float | str]
) -> str:
    """The text of a model card, with a head that the hub reads.

    Args:
        subject: the model.
        library: by the hub's name, such as "keras-hub".
        title: of the library, for people.
        usage: Python that loads the model by it.
        metrics: names and values of what was measured.
    """
    row, paper = subject.config, PAPERS.get(subject.config.family)
    name = subject.variant or f"a {subject.family.title} of its own"
    head = [
        f"library_name: {library}",
        f"pipeline_tag: {PIPELINES[subject.system.task]}",
        f"tags: {json.dumps([row.family, 'keras_pvt'])}",
    ]
    mean, std = channel_statistics(subject.channels)
    facts = {
        "model": f"{subject.system.title} on {name}",
        "parameters": f"{subject.model.count_params():,}",
        "depths, widths": f"{_spelt(row.depths)}, {_spelt(row.embed_dims)}",
        "images": f"{subject.channels} channels; shorter side {subject.short_side}, centre crop "
        f"{subject.side} pixels, bicubic"
        if subject.system.task == "classification"
        else f"{subject.channels} channels",
        "normalised by": f"mean {_spelt(mean)}, deviation {_spelt(std)} of values 0..1",
        "epsilon of norms": f"{row.epsilon:g}; of patches and reductions {row.reduction_epsilon:g}",
    }
    if paper is not None:
        facts["paper"] = f"[arXiv {paper}](https://arxiv.org/abs/{paper})"
    text = ["---", *head, "---", "", f"# {subject.model.name}", "", "| | |", "|---|---|"]
    text += [f"| {key} | {value} |" for key, value in facts.items()]
    if metrics:
        text += ["", "| measured | |", "|---|---|"]
        text += [f"| {_cell(key)} | {_cell(value)} |" for key, value in metrics.items()]
    if subject.classes is not None:
        count = len(subject.classes)
        names = ", ".join(map(_cell, subject.classes[:SHOWN]))
        more = f" and {count - SHOWN} more" if count > SHOWN else ""
        text += ["", f"{count} classes: {names}{more}."]
    text += ["", f"## By {title}", "", "```python", usage, "```"]
    if subject.classes is not None or not subject.system.names:  # else Keras alone loads it
        text += ["", "## By keras_pvt", "", "```python", _own_usage(subject, library), "```"]
    return "\n".join(text) + "\n"


def _own_usage(subject: Subject, library: str) -> str:
    """Python that loads the model by this package."""
    variant = json.dumps(subject.variant) if subject.variant else f"keras_pvt.{subject.config}"
    if subject.system.name in ("classifier", "backbone"):
        whole = subject.outputs and library != "keras-hub"  # which has the head apart
        kind = "classifier" if whole else "PVTBackbone"
        line = f'model = keras_pvt.{kind}({variant}, weights="hf://OWNER/NAME")'
    else:
        line = 'model = keras_pvt.load_model("hf://OWNER/NAME").model'
    return f"import keras_pvt\n\n{line}"


def _spelt(values) -> str:
    return " ".join(f"{value:g}" for value in values)


def _cell(value) -> str:
    """A word in a table of Markdown."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return " ".join(text.split()).replace("|", "\\|")
