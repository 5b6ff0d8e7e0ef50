"""What MkDocs is told beside mkdocs.yml: pages from elsewhere, links out of docs/, the reference.

The README is the start page, so that nothing is said twice; CONTRIBUTING and CHANGELOG are pages
too. A page for each public module is made of its docstrings. Any other file of the repository that
a page links to is copied into the site.
"""

import pathlib
import posixpath
import re
import sys

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import blocks  # noqa: E402
import protocol  # noqa: E402
import public  # noqa: E402

# Pages that lie elsewhere, by where they are in the site.
ELSEWHERE = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md",
             "CHANGELOG.md": "changelog.md"}  # fmt: skip
REPOSITORY = "repository"  # where other files of it are in the site
LINK = re.compile(r"(?<=\]\()(?![\w+.-]+:|#)([^)#\s]+)")


def on_files(files, config):
    """Add what does not lie in docs/; stop at an undocumented name or an unchecked block."""
    problems = [f"{block}: {block.language or 'a block without a language'} is neither run by "
                "tests/test_pages.py nor marked by <!-- not run: REASON -->"
                for page in blocks.pages() for block in blocks.unaccounted(page)]  # fmt: skip
    package = public.load()
    rooms = public.rooms(package)
    for name, room in rooms.items():
        problems += [f"{silent} has no docstring" for silent in public.undocumented(room, name)]
    if problems:
        raise PluginError("\n".join(problems))
    for source, uri in ELSEWHERE.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / source)))
    for name, text in references(rooms).items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    for source in linked_files():
        files.append(File.generated(config, place(source), abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown, page, **kwargs):
    """Links, from where the page is in the site; `<details>` with Markdown inside."""
    uri = page.file.src_uri
    sources = {there: source for source, there in ELSEWHERE.items()}
    if uri.startswith("reference/"):
        return markdown
    source = sources.get(uri, f"docs/{uri}")

    def moved(match):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[1]))
        return posixpath.relpath(place(target), posixpath.dirname(uri) or ".")

    pieces = parts(markdown)
    pieces[::2] = [
        LINK.sub(moved, prose).replace("<details>", "<details markdown>") for prose in pieces[::2]
    ]
    return "".join(pieces)


def parts(text: str) -> list[str]:
    """Prose and code in turn, prose first."""
    return re.split(r"(^```.*?^```$|`[^`\n]+`)", text, flags=re.MULTILINE | re.DOTALL)


def place(source: str) -> str:
    """Where a file of the repository is in the site."""
    if source in ELSEWHERE:
        return ELSEWHERE[source]
    if source.startswith("docs/"):
        return source.removeprefix("docs/")
    return f"{REPOSITORY}/{source}"


def linked_files() -> set[str]:
    """Files outside docs/ that a page links to, and that exist; MkDocs reports the others."""
    found = set()
    for page in [*blocks.pages(), *(ROOT / source for source in ELSEWHERE)]:
        for prose in parts(page.read_text())[::2]:
            paths = ((page.parent / target).resolve() for target in LINK.findall(prose))
            found |= {path for path in paths if path.is_file() and path.is_relative_to(ROOT)}
    names = {path.relative_to(ROOT).as_posix() for path in found}
    return {name for name in names if place(name).startswith(f"{REPOSITORY}/")}


def references(rooms) -> dict[str, str]:
    """Pages of the reference. A name of several rooms is on the page of the first."""
    pages: dict[str, str] = {}
    owners: dict[str, str] = {}  # where an object is described, by where it is defined
    for name, room in rooms.items():
        inside: list[str] = []
        again: list[str] = []
        for key in public.names(room):
            value = public.target(room[key])
            if value.is_module:
                continue
            owner = owners.setdefault(value.path, f"{name}.{key}")
            if owner == f"{name}.{key}":
                inside.append(key)
            else:
                again.append(f"[`{key}`][{owner}]")
        more = [other for other in rooms if other.rpartition(".")[0] == name]
        lines = [f"# {name}", "", f"::: {name}", "    options:", "      show_root_heading: false",
                 "      show_root_toc_entry: false",
                 f"      filters: ['!^_', '!^({protocol.NAMES})$']",
                 f"      members: {inside}", ""]  # fmt: skip
        if again:
            lines += [f"Here too: {', '.join(again)}.", ""]
        if more:
            links = ", ".join(f"[`{other}`]({other}.md)" for other in more)
            lines += [f"More rooms: {links}.", ""]
        pages[name] = "\n".join(lines)
    return pages
