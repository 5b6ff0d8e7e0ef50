"""Names of files on a hub, hf://OWNER/NAME[@REVISION][/FILE], and the file of a repository to read.

The syntax is that of `huggingface_hub`. Standard library only, as commands look at every path.
"""

import dataclasses
import os
import re
import urllib.parse
from collections.abc import Sequence

FORM = "hf://OWNER/NAME, hf://OWNER/NAME@REVISION or hf://OWNER/NAME@REVISION/FILE"

# Where weights usually lie, the best first: what holds arrays alone before what is a pickle, as
# safetensors does. A list of shards stands for them.
USUAL = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
    "model.keras",
    "model.weights.h5",
    "model.weights.json",
)
# Of other names, those with the first of these endings that any has.
ENDINGS = (
    ".safetensors.index.json",
    ".weights.json",
    ".safetensors",
    ".npz",
    ".pth",
    ".pth.tar",
    ".pt",
    ".bin",
    ".ckpt",
    ".keras",
    ".weights.h5",
    ".h5",
)
# What ends so and holds no weights of a model, or those of TensorFlow's models of transformers.
OTHERS = re.compile(r"(training_args|optimizer|scheduler|rng_state.*|scaler)\.\w+|tf_model\.h5")
SHOWN = 12  # names in a message

# A branch with a slash needs it as %2F, but for those that the hub itself makes.
_SHAPE = re.compile(
    r"hf:/{1,2}(?:models/)?(?P<owner>[^/@]+)/(?P<name>[^/@]+)"
    r"(?:@(?P<revision>refs/(?:pr/\d+|convert/[\w.-]+)|[^/@]+))?(?:/(?P<file>.+))?"
)
_PART = re.compile(r"\w(?:[\w.-]*\w)?")
_REVISION = re.compile(r"\w[\w./+-]*")
_NO_MODELS = ("datasets", "spaces", "kernels", "buckets")


@dataclasses.dataclass(frozen=True)
class HubName:
    """A file of a repository on a hub, or the one in it that has its weights.

    Args:
        repository: "OWNER/NAME".
        revision: a branch, a tag or a commit; None for the default branch.
        file: path in the repository; None leaves it to `weights_file`.
    """

    repository: str
    revision: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        revision = "" if self.revision is None else f"@{self.revision}"
        return f"hf://{self.repository}{revision}" + (f"/{self.file}" if self.file else "")

    @classmethod
    def parse(cls, text: str) -> "HubName":
        """The name that a user writes.

        Args:
            text: such as "hf://timm/pvt_v2_b2.in1k".
        Returns:
            The name.
        Raises:
            ValueError: it is none; says what is wrong and how it would be right.
        """
        found = _SHAPE.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no name on a hub: it should be {FORM}.")
        owner, name, revision, file = found.group("owner", "name", "revision", "file")
        if owner in _NO_MODELS:
            raise ValueError(f"{text!r} is of {owner}; models are named as {FORM}.")
        repository = f"{owner}/{name}"
        if (
            not all(_PART.fullmatch(part) for part in (owner, name))
            or "--" in repository
            or ".." in repository
            or len(repository) > 96
        ):
            raise ValueError(
                f"{text!r}: no repository can be called {repository!r}: OWNER and NAME are of "
                "letters, digits, '-', '_' and '.', neither '-' nor '.' at an end or doubled."
            )
        if revision is not None:
            revision = urllib.parse.unquote(revision)
            if not _REVISION.fullmatch(revision) or ".." in revision:
                raise ValueError(f"{text!r}: {revision!r} is no branch, tag or commit.")
        if file is not None and not all(
            part and part.strip(".") and "\\" not in part for part in file.split("/")
        ):
            raise ValueError(f"{text!r}: {file!r} is no path in a repository.")
        return cls(repository, revision, file)


def is_hub_name(source: str | os.PathLike) -> bool:
    """Whether a user names a hub, rightly or not. (A `pathlib.Path` has but one slash of two.)

    Args:
        source: as it stands for a file.
    """
    return os.fspath(source).startswith("hf:/")


def weights_file(files: Sequence[str], name: HubName, where: str) -> str:
    """The file with the weights, by the name or by the rule of `USUAL` and `ENDINGS`.

    Args:
        files: paths of all that is there.
        name: what the user asked for.
        where: they are, for messages.
    Returns:
        One of the paths.
    Raises:
        ValueError: none or several; says which files there are.
    """
    if name.file is not None:
        if name.file in files:
            return name.file
        raise ValueError(f"{where} has no file {name.file!r}; it has {listed(files)}.")
    for usual in USUAL:
        if usual in files:
            return usual
    top = [file for file in files if "/" not in file and not OTHERS.fullmatch(file)]
    for ending in ENDINGS:
        some = [file for file in top if file.endswith(ending)]
        if len(some) == 1:
            return some[0]
        if some:
            raise ValueError(
                f"{where} has {len(some)} files that may be its weights, {listed(some)}: name one, "
                f"as in {dataclasses.replace(name, file=some[0])}."
            )
    raise ValueError(
        f"{where} has no file with weights that are read ({', '.join(ENDINGS)}); it has "
        f"{listed(files)}."
    )


def listed(files: Sequence[str]) -> str:
    """Names of files, as many as a reader wants.

    Args:
        files: their paths.
    """
    more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
    return (", ".join(sorted(files)[:SHOWN]) or "no files at all") + more
