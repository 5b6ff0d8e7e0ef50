"""The code blocks of the pages: what the tests run, and what says why they do not.

A block with the line `<!-- not run: REASON -->` or `<!-- run by TEST -->` right above it is not run
by tests/test_pages.py.
"""

import dataclasses
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
# What tests/test_pages.py does with a block: runs it, parses its commands, reads it as a recipe.
LANGUAGES = ("python", "sh", "toml")

_BLOCK = re.compile(
    r"^(?:<!-- (?:not run: |run by )(?P<reason>\S.*?) -->\n)?"
    r"```(?P<language>[^\n]*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Args:
        page: path of the page in the repository.
        line: of the page on which the code begins, from 1.
        language: word after the fence, "" without one.
        code: lines between the fences.
        reason: why the block is not run, or which other test runs it; None where
            tests/test_pages.py does.
    """

    page: str
    line: int
    language: str
    code: str
    reason: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[pathlib.Path]:
    """The README and all documents."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: pathlib.Path) -> list[Block]:
    """The blocks of a page, in its order."""
    text = page.read_text()
    name = page.relative_to(ROOT).as_posix()
    return [
        Block(
            page=name,
            line=text.count("\n", 0, match.start("code")) + 1,
            **match.groupdict(),
        )
        for match in _BLOCK.finditer(text)
    ]


def unaccounted(page: pathlib.Path) -> list[Block]:
    """Blocks that no test runs and no mark excuses."""
    return [
        block for block in blocks(page) if block.reason is None and block.language not in LANGUAGES
    ]
