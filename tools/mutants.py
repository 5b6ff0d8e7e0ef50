"""Make small errors in the package, one at a time, and see which tests notice.

python tools/mutants.py                         # every row of tools/mutants.toml
python tools/mutants.py --only detection/ops    # rows that have these words
python tools/mutants.py --workers 1 --likely    # only the tests named in the row
python tools/mutants.py --check                 # whether all rows still fit, without a test

Each runs in a copy of the tree on PyTorch: first the test files that the row names, then, if they
pass, the rest of the default tier. What no test notices is a survivor: write the test.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import multiprocessing
import os
import pathlib
import queue
import re
import shutil
import sys
import tempfile
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[1]
TABLE = ROOT / "tools" / "mutants.toml"
# What tests read; no build or environment.
COPIED = ("keras_pvt", "tests", "tools", "examples", "benchmarks", "docs")
# Imported once, where they are there, as each would take seconds in every run; nothing of this
PRELOADED = ["keras", "tensorflow", "scipy.stats", "safetensors.numpy"]
# Of one run of tests. An error that makes a loop endless is noticed by this.
SECONDS = 1800
NOTICED, PASSED, BROKEN = "noticed", "passed", "broken"


@dataclasses.dataclass(frozen=True)
class Mutant:
    """A row of the table; see there."""

    what: str
    file: str
    text: str
    becomes: str
    tests: list[str] = dataclasses.field(default_factory=list)
    equivalent: str | None = None

    def problem(self, root: pathlib.Path) -> str | None:
        """Why the row does not fit the tree; None if it does."""
        path = root / "keras_pvt" / self.file
        count = path.read_text().count(self.text) if path.is_file() else 0
        if count != 1:
            elsewhere = [
                str(file.relative_to(root / "keras_pvt"))
                for file in sorted((root / "keras_pvt").rglob("*.py"))
                if self.text in file.read_text()
            ]
            return f"{count} times in {self.file}; now in {', '.join(elsewhere) or 'no file'}"
        if self.text == self.becomes:
            return "it changes nothing"
        missing = [name for name in self.tests if not (root / "tests" / f"{name}.py").is_file()]
        return f"there is no test file {', '.join(missing)}" if missing else None


def read_table(path: pathlib.Path = TABLE) -> list[Mutant]:
    """The rows, in their order."""
    return [Mutant(**row) for row in tomllib.loads(path.read_text())["mutant"]]


def copy_of(root: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """A copy of what the tests need, below a folder."""
    target = folder / "tree"
    for name in COPIED:
        shutil.copytree(root / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in root.iterdir():
        if file.is_file():
            shutil.copy2(file, target)
    return target


def run_tests(tree: str, log: str, words: list[str]) -> None:
    """pytest in a process of its own, which ends with its exit status."""
    os.chdir(tree)
    sys.path.insert(0, tree)
    os.environ["PYTHONPATH"] = tree  # what a test starts imports the copy, too
    with open(log, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    import pytest

    sys.exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--durations=0", *words])))


def outcome(context, tree: pathlib.Path, words: list[str]) -> tuple[str, str]:
    """What a run of tests says: noticed, passed or broken; and the test that failed."""
    log = tree.parent / "log"
    process = context.Process(target=run_tests, args=(str(tree), str(log), words))
    process.start()
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
        return NOTICED, f"no end in {SECONDS} s"
    text = log.read_text(errors="replace") if log.exists() else ""
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", text, re.MULTILINE)
    if process.exitcode == 0:
        return PASSED, ""
    if failed and process.exitcode in (1, 2):
        return NOTICED, failed[1]
    return BROKEN, text[-2000:]


def tried(context, mutant: Mutant, tree: pathlib.Path, likely_only: bool) -> dict:
    """One row: made, tested, taken back."""
    start, path = time.perf_counter(), tree / "keras_pvt" / mutant.file
    own = [f"tests/{name}.py" for name in mutant.tests]
    runs = [own] if own else []
    if not likely_only:
        rest = [word for file in own for word in ("--ignore", file)]
        runs.append([*rest, "tests"])
    before = path.read_text()
    path.write_text(before.replace(mutant.text, mutant.becomes))
    found, by = PASSED, ""
    try:
        for words in runs:
            found, by = outcome(context, tree, words)
            if found != PASSED:
                break
    finally:
        path.write_text(before)
    seconds = round(time.perf_counter() - start)
    return {"what": mutant.what, "file": mutant.file, "found": found, "by": by, "seconds": seconds}


def verdict(mutant: Mutant, row: dict) -> str:
    """The last column of the table."""
    if row["found"] == NOTICED:
        return f"killed by {row['by'].removeprefix('tests/')}"
    if row["found"] == BROKEN:
        return f"the tests did not run: {row['by'].strip().splitlines()[-1:]}"
    return f"equivalent: {mutant.equivalent}" if mutant.equivalent else "SURVIVED"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="rows whose text or file has these words")
    parser.add_argument("--workers", type=int, default=2, help="processes side by side (2)")
    parser.add_argument("--likely", action="store_true", help="only the tests named in a row")
    parser.add_argument("--check", action="store_true", help="only whether the rows fit the tree")
    parser.add_argument("--json", type=pathlib.Path, help="file for the results")
    options = parser.parse_args(arguments)

    mutants = [
        mutant
        for mutant in read_table()
        if not options.only or options.only in mutant.what or options.only in mutant.file
    ]
    stale = {m.what: problem for m in mutants if (problem := m.problem(ROOT))}
    for what, problem in stale.items():
        print(f"does not fit: {what}: {problem}")
    if options.check or stale or not mutants:
        print(f"{len(mutants)} rows, {len(stale)} of them do not fit")
        return int(bool(stale) or not mutants)

    os.environ |= {"KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    rows = []
    with tempfile.TemporaryDirectory(prefix="keras_pvt-mutants-") as folder:
        trees: queue.Queue[pathlib.Path] = queue.Queue()
        for number in range(options.workers):
            trees.put(copy_of(ROOT, pathlib.Path(folder) / str(number)))

        # What fails without an error would kill every one of them.
        tree = trees.queue[0]
        likely = sorted({f"tests/{name}.py" for mutant in mutants for name in mutant.tests})
        found, by = outcome(context, tree, likely if options.likely else ["tests"])
        if found != PASSED:
            print(f"the tests do not pass as the tree is: {by}")
            return 2

        def one(mutant: Mutant) -> dict:
            tree = trees.get()
            try:
                return tried(context, mutant, tree, options.likely)
            finally:
                trees.put(tree)

        with concurrent.futures.ThreadPoolExecutor(options.workers) as pool:
            for mutant, row in zip(mutants, pool.map(one, mutants), strict=True):
                row["verdict"] = verdict(mutant, row)
                rows.append(row)
                print(f"{row['seconds']:4} s  {mutant.what}\n        {row['verdict']}", flush=True)
                if options.json:
                    options.json.write_text(json.dumps(rows, indent=1))
    killed = sum(row["found"] == NOTICED for row in rows)
    survivors = [row for row in rows if row["verdict"] == "SURVIVED"]
    broken = [row for row in rows if row["found"] == BROKEN]
    equivalent = len(rows) - killed - len(survivors) - len(broken)
    print(
        f"{len(rows)} mutants: {killed} killed, {len(survivors)} survived, {equivalent} equivalent"
        + (f", {len(broken)} not tried" if broken else "")
    )
    return int(bool(survivors or broken))


if __name__ == "__main__":
    sys.exit(main())
