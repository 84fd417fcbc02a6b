"""Play a scenario twice in the same place and compare; make pytest tests of scenario functions."""

import functools
import inspect
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from arena import snapshot
from arena.needs import needs
from arena.products import Product
from arena.world import Step, World

Steps = Callable[[World], object]


class MismatchError(AssertionError):
    """The cache gave something else than the plain compiler."""


class Arena:
    """One place in the file system where a scenario is played first plainly, then cached."""

    def __init__(self, folder: Path, product: Product) -> None:
        """`folder` is ours alone, and short: a socket's path must fit into it."""
        self.folder = folder
        self.product = product
        self.worlds: list[World] = []

    def world(self, product: Product | None, settings: Mapping[str, str] | None = None) -> World:
        """Lay out a fresh tree at the one path, and a fresh home (cache, socket) beside it."""
        for name in ("w", "h"):
            self._wipe(self.folder / name)
        world = World(self.folder / "w", self.folder / "h", product, settings or {})
        self.worlds.append(world)
        return world

    def cached_world(self, settings: Mapping[str, str] | None = None) -> World:
        """A world with the cache, for tests that are not comparisons."""
        return self.world(self.product, settings)

    def play(self, steps: Steps, settings: Mapping[str, str] | None = None) -> None:
        """Run `steps` plainly and cached; raise MismatchError when a user could tell them apart."""
        plain = self.world(None, settings)
        steps(plain)
        plain_leftovers = self._leftovers()
        cached = self.world(self.product, settings)
        steps(cached)
        self.product.stop(cached.environment())
        found = compare(plain.steps, cached.steps, [])
        if found:  # contents that differ between two plain runs cannot be compared
            again = self.world(None, settings)
            steps(again)
            found = compare(plain.steps, cached.steps, again.steps)
        if len(self._leftovers()) > len(plain_leftovers):
            found.append(f"left in TMPDIR: {self._leftovers()}")
        found += cached.complaints
        if found:
            raise MismatchError("\n".join(found).encode("utf-8", "backslashreplace").decode())

    def close(self) -> None:
        """Stop what runs, remove what is there."""
        for world in self.worlds[-1:]:
            if world.product:
                world.product.stop(world.environment())
                world.kill_daemon()
        self._wipe(self.folder)

    def _leftovers(self) -> list[str]:
        """What was left in TMPDIR."""
        return sorted(path.name for path in (self.folder / "h" / "tmp").glob("*"))

    @staticmethod
    def _wipe(folder: Path) -> None:
        if folder.exists():
            for path in [folder, *(p for p in folder.rglob("*") if p.is_dir() and not p.is_symlink())]:
                path.chmod(0o755)
            shutil.rmtree(folder)


def compare(plain: Sequence[Step], cached: Sequence[Step], again: Sequence[Step]) -> list[str]:
    """Name every difference a user could see; `again` is a second plain run, or empty."""
    found: list[str] = []
    said: set[str] = set()  # a file that stays wrong is told once
    if len(plain) != len(cached):
        return [f"{len(plain)} steps plainly, {len(cached)} with the cache"]
    for number, (want, have) in enumerate(zip(plain, cached, strict=True)):
        other = again[number] if again else None
        texts = [text for text in _compare_step(want, have, other) if text not in said]
        said.update(texts)
        found += [f"{want.label}: {text}" for text in texts]
    return found


def _compare_step(want: Step, have: Step, other: Step | None) -> list[str]:
    found: list[str] = []
    if want.exit_code != have.exit_code:
        found.append(f"exit code {want.exit_code} plainly, {have.exit_code} with the cache; stderr {have.stderr[-600:]!r}")
    for stream in ("stdout", "stderr"):
        a, b = getattr(want, stream), getattr(have, stream)
        stable = other is None or getattr(other, stream) == a
        if a != b and stable:
            found.append(f"{stream}: {snapshot.first_difference(a, b)}")
    unstable = frozenset() if other is None else frozenset(n for n, seen in want.tree.items() if other.tree.get(n) != seen)
    return found + snapshot.differences(want.tree, have.tree, unstable)


def scenario(
    *compilers: str, programs: Sequence[str] = (), settings: Mapping[str, str] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a test of a function `(world)` or `(world, cc)`: played once for each of `compilers`."""
    chosen = compilers or ("gcc",)

    def decorate(steps: Callable[..., Any]) -> Callable[..., Any]:
        takes_compiler = len(inspect.signature(steps).parameters) > 1

        @pytest.mark.parametrize("cc", chosen)
        def test(arena: Arena, cc: str) -> None:
            needs(cc, *programs)
            arena.play((lambda w: steps(w, cc)) if takes_compiler else steps, settings)

        functools.update_wrapper(test, steps)
        del test.__wrapped__  # type: ignore[attr-defined]  # pytest would look at the wrapped signature
        return test

    return decorate
