"""Run the compiler once with each option that it knows, and report files that parsing did not predict.

    PYTHONPATH=src python tests/tools/option_sweep.py gcc|clang [further options for every run]

Takes about a minute; run it after changing an option table or when a new compiler version comes in.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sccache.compilers.c_family import parse, preprocess_flags
from sccache.model import ParsedArguments

SOURCE = "int g(int a) { return a; }\nint f(int a) { return g(a); }\n"
DULL = ("-W", "--warn", "-fno-", "-mno-", "--no-", "--machine", "--param", "-O", "-gno")


def known_options(family: str) -> list[str]:
    """What the compiler offers for completion."""

    def ask(*words: str) -> list[str]:
        return subprocess.run([family, *words], capture_output=True, text=True, check=False).stdout.split("\n")

    lines = [*ask("--completion=-"), *ask("--completion=--")] if family == "gcc" else [*ask("--autocomplete=-"), *ask("--help-hidden")]
    names = {re.split(r"[\s<]", line.strip())[0] for line in lines}
    return sorted(name for name in names if name.startswith("-") and not name.startswith(DULL))


def spellings(name: str) -> list[list[str]]:
    """Alone, with a joined value, and with a value of its own."""
    if name.endswith("="):
        return [[name], [name + "q1.x"], [name + "1"]]
    return [[name]] if "=" in name else [[name], [name, "q2.x"]]


def files(root: Path) -> dict[str, int]:
    """Every file with its modification time."""
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def problem(family: str, words: Sequence[str]) -> str:
    """What is wrong with our reading of one command line; empty if nothing."""
    root = Path(tempfile.mkdtemp())
    try:
        (root / "out").mkdir()
        for name, text in (("a.c", SOURCE), ("q1.x", ""), ("q2.x", "")):
            (root / name).write_text(text)
        argv = (family, "-c", "a.c", "-O2", "-o", "out/a.o", *words)
        parsed = parse(family, argv, str(root), {}, plusplus=False)
        return compare(argv, parsed, root) if isinstance(parsed, ParsedArguments) else ""
    finally:
        shutil.rmtree(root, ignore_errors=True)


def compare(argv: Sequence[str], parsed: ParsedArguments, root: Path) -> str:
    """Compile, then preprocess; both must leave exactly what was predicted."""
    before = files(root)
    if run(argv, root):
        return ""
    made = {name for name, time in files(root).items() if before.get(name) != time}
    predicted = {os.path.normpath(output.path): output.required for output in parsed.outputs}
    if parsed.depfile:
        predicted[os.path.normpath(parsed.depfile.path)] = True
    if not made <= predicted.keys() or not {name for name, required in predicted.items() if required} <= made:
        return f"made {sorted(made)}, predicted {sorted(predicted)}"
    before = files(root)
    if run((argv[0], *preprocess_flags(argv[0]), *parsed.preprocess_args, parsed.source), root):
        return "the preprocessor run fails"
    return "" if files(root) == before else "the preprocessor run writes files"


def run(argv: Sequence[str], root: Path) -> int:
    """The exit status of one run; a run that hangs counts as failed."""
    try:
        return subprocess.run(argv, cwd=root, capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=30).returncode
    except subprocess.TimeoutExpired:
        return 1


def main() -> int:
    """Sweep one compiler."""
    family, *further = sys.argv[1:]
    lines = [words for name in known_options(family) for words in spellings(name)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        told = list(pool.map(lambda words: problem(family, [*further, *words]), lines))
    bad = [f"{' '.join(words)}: {what}" for words, what in zip(lines, told, strict=True) if what]
    sys.stdout.write("\n".join([*bad, f"{len(lines)} command lines, {len(bad)} problems", ""]))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
