"""The code of the pages: Python is run, commands are parsed, and what is neither says why.

tests/pages.py has what stands in for large models, downloads and data.
"""

import re
import shlex
import tomllib

import pytest
from pages import STAGES, Stage
from scripts import ROOT, load_script

from keras_pvt import cli
from keras_pvt.recipes import files

doc_blocks = load_script("tools/docs/blocks.py")
BLOCKS = {page.relative_to(ROOT).as_posix(): doc_blocks.blocks(page) for page in doc_blocks.pages()}
RUN = [
    page
    for page, blocks in BLOCKS.items()
    if any(block.language == "python" and block.reason is None for block in blocks)
]
COMMANDS = [block for blocks in BLOCKS.values() for block in blocks if block.language == "sh"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TARGETS = set(re.findall(r"^([\w -]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def of_page(page: str):
    """A page as a parameter, in its tier."""
    stage = STAGES.get(page, Stage())
    marks = [pytest.mark.one_backend("runs the code of pages", full=stage.every)]
    if stage.dear:
        marks.append(pytest.mark.full(stage.dear))
    return pytest.param(page, marks=marks, id=page)


@pytest.mark.parametrize("page", [of_page(page) for page in RUN])
def test_the_page_runs(page, rng, tmp_path, monkeypatch):
    """Its blocks in their order, with the names of those before."""
    monkeypatch.chdir(tmp_path)
    stage = STAGES.get(page, Stage())
    names = stage.prepare(rng) or {}
    text = "".join(block.code for block in BLOCKS[page])
    for there in stage.instead:
        assert there in text, f"{page} has no {there!r}; see tests/pages.py"
    for block in BLOCKS[page]:
        if block.reason is not None:
            continue
        code = block.code
        for there, here in stage.instead.items():
            code = code.replace(there, here)
        if block.language == "python":
            at = "\n" * (block.line - 1)  # for the lines of a traceback
            exec(compile(at + code, block.page, "exec"), names)
            stage.check(names)
        elif block.language == "sh" and stage.commands:
            for words in of_keras_pvt(code):
                if not shlex.join(["keras-pvt", *words]).startswith(stage.commands):
                    continue
                assert cli.main(words) == 0, f"{block}: {shlex.join(words)}"


def commands(code: str) -> list[list[str]]:
    """The commands of a block as words, without comments and what the environment has."""
    found = []
    code = re.sub(r"\$\w+|\$\{[^}]*\}", "1", code)
    line = ""
    for part in code.replace("\\\n", " ").splitlines():
        line += part
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # a quotation that goes on
            continue
        line = ""
        for end in (">", "|"):
            words = words[: words.index(end)] if end in words else words
        while words and re.match(r"[A-Z_]+=", words[0]):
            words = words[1:]
        if words:
            found.append(words)
    return found


def of_keras_pvt(code: str) -> list[list[str]]:
    """What follows `keras-pvt`, or its module under torchrun."""
    found = []
    for words in commands(code):
        if words[0] == "keras-pvt":
            found.append(words[1:])
        elif "keras_pvt.cli" in words:
            found.append(words[words.index("keras_pvt.cli") + 1 :])
    return found


def is_known(words: list[str]) -> bool:
    """Whether the files, targets and extras that a command names are there."""
    program, *rest = words
    if program == "make":
        return all(any(word in targets.split() for targets in TARGETS) for word in rest)
    if program == "python":
        script = ROOT / rest[0]
        options = [word.partition("=")[0] for word in rest if word.startswith("--")]
        return script.is_file() and all(option in script.read_text() for option in options)
    if program == "pip":
        (extras,) = re.findall(r"\[([\w,]+)\]", rest[-1])
        return rest[0] == "install" and set(extras.split(",")) <= set(
            PROJECT["optional-dependencies"]
        )
    return program == "keras-pvt" or "keras_pvt.cli" in words


@pytest.mark.one_backend("parses commands")
@pytest.mark.parametrize("block", COMMANDS, ids=str)
def test_commands_have_arguments_that_the_program_takes(block, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text('base = "finetune"\n')
    for words in of_keras_pvt(block.code):
        parser = cli._parser(words)
        try:
            parser.parse_args(words)
        except SystemExit:
            pytest.fail(f"{block}: {shlex.join(words)}\n{capsys.readouterr().err}")
    if block.reason is None:
        for words in commands(block.code):
            assert is_known(words), f"{block}: {shlex.join(words)}"


@pytest.mark.one_backend("reads recipes")
@pytest.mark.parametrize(
    "block", [b for blocks in BLOCKS.values() for b in blocks if b.language == "toml"], ids=str
)
def test_recipes_are_read(block, tmp_path):
    (tmp_path / "mine.toml").write_text(block.code)
    recipe = files.load(str(tmp_path / "mine.toml"))
    assert all(getattr(recipe, key) == value for key, value in tomllib.loads(block.code).items()
               if key != "base")  # fmt: skip


@pytest.mark.one_backend("reads pages")
def test_every_block_is_run_or_marked():
    """`make docs` refuses the others too."""
    left = [block for page in doc_blocks.pages() for block in doc_blocks.unaccounted(page)]
    assert not left, [f"{block}: {block.language!r}" for block in left]
    for page, blocks in BLOCKS.items():
        text = (ROOT / page).read_text()
        assert len(re.findall("<!-- (not run:|run by )", text)) == sum(
            block.reason is not None for block in blocks
        )
        assert len(re.findall("^```", text, re.MULTILINE)) == 2 * len(blocks), page
        for test in re.findall("<!-- run by (.*?) -->", text):
            assert (ROOT / test).is_file(), page
    assert set(STAGES) <= set(BLOCKS)


@pytest.mark.one_backend("reads pages")
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
