"""Draw the pictures of the README and of docs/cost.md anew, and write what the README's show.

python tools/make_pictures.py

The README's are what `make demo` draws without a network. Curves and sheets of training runs are
what `keras-pvt train` leaves in its folder; the documents that show them have the commands.
"""

import argparse
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
NANO = ("--variant", "pvt_v2_nano", "--weights", "cifar10")
# Picture in docs/ to the program that draws it, and the README's words before what it prints.
DEMOS = {
    "demo.png": (("examples/classify_images.py", *NANO), "Photographs and likely classes"),
    "demo_detection.png": (("examples/detect_cells.py",), "Blood cells that are found"),
}
OTHERS = {"input_scale.png": ("tools/plot_input_scale.py",)}


def summary(printed: str) -> str:
    """What a demo prints, in one line: for each image the likeliest class, or the objects."""
    found = re.findall(r"^(\S+\.jpg)\n +(\S+%)  (.*)|^(\S+\.jpg: .*)", printed, re.MULTILINE)
    return "; ".join(line or f"{name}: {label} {share}" for name, share, label, line in found)


def described(readme: str, picture: str) -> str:
    """The README's text of a picture."""
    (text,) = re.findall(rf"!\[([^]]*)\]\(docs/{re.escape(picture)}\)", readme)
    return text


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    readme = (ROOT / "README.md").read_text("utf-8")
    for picture, (words, what) in DEMOS.items():
        text = f"{what}: {summary(_run(words, picture))}"
        readme = readme.replace(
            f"![{described(readme, picture)}](docs/{picture})", f"![{text}](docs/{picture})"
        )
    (ROOT / "README.md").write_text(readme, "utf-8")
    for picture, words in OTHERS.items():
        _run(words, picture)


def _run(words: tuple[str, ...], picture: str) -> str:
    """Run a program that draws a picture in docs/."""
    command = [sys.executable, *words, "--out", f"docs/{picture}"]
    print(*command)
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
