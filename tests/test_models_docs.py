"""What docs/models.md shows, run; and that the README leads to it."""

import re

import pytest
from scripts import ROOT

pytestmark = pytest.mark.one_backend("runs the examples of pages", full=True)


def test_the_page_runs():
    text = (ROOT / "docs" / "models.md").read_text()
    without = {"PVT or PVTv2", "Attention maps", "Videos and webcams"}
    names: dict = {}
    for section in text.split("\n## ")[1:]:
        blocks = re.findall("```python\n(.*?)```", section, re.DOTALL)
        assert len(blocks) == (section.partition("\n")[0] not in without)
        for block in blocks:
            exec(block, names)
    assert names["vectors"].shape == (1, 256)
    assert names["larger"].input_shape == (None, 96, 128, 3)
    assert names["open_"].input_shape == (None, None, None, 3)


@pytest.mark.parametrize(
    ("subject", "start"),
    [
        ("input range", "input-range"),
        ("image size", "image-size"),
        ("embeddings", "embeddings"),
        ("freezing", "freezing"),
        ("levels", "levels"),
        ("attention maps", "attention-maps"),
        ("several GPUs", "devices"),
    ],
)
def test_the_readme_leads_to_it_in_one_click(subject, start):
    """That the headings exist, tests/test_package.py sees."""
    readme = (ROOT / "README.md").read_text()
    (heading,) = re.findall(rf"\[{subject}\]\(docs/\w+\.md#([\w-]+)\)", readme)
    assert heading.startswith(start)
