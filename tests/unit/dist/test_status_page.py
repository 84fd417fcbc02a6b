"""The scheduler's status page: what is in its numbers, and what a browser makes of them."""

import asyncio
import html
import re
import shutil
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path

import pytest
from aiohttp import web
from tests.unit.dist.scheduler_server import JOB_KEY, Asking, Clients, Workers, scheduler

from sccache.dist import status_page
from sccache.dist.messages import Allocate, Heartbeat
from sccache.dist.scheduler import Scheduler
from sccache.dist.scheduler_http import RefusedError, Shell
from sccache.dist.status_page import JobRow, ToolchainRow, WorkerRow, overview

GCC, CLANG = "ab" * 32, "cd" * 32
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="needs chromium")
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip


def beat(**said: object) -> Heartbeat:
    """A worker's."""
    return Heartbeat(**{"nonce": "n", "cores": 4, "slots": 4, "job_key": JOB_KEY, "certificate": "c", **said})  # type: ignore[arg-type]


def farm() -> Scheduler:
    """Four workers in the four states, jobs of both states, one client that waits."""
    jobs = (f"{number:08x}" + "f" * 24 for number in count(1))
    made = Scheduler(lambda: next(jobs), 0.0)
    made.heartbeat("10.0.0.1:1", beat(toolchains=(GCC,), cores=2, slots=2), 100.0)
    made.ask(1, "c", Allocate(GCC), 101.0)
    made.ask(2, "c", Allocate(GCC), 102.0)
    made.heartbeat("10.0.0.1:1", beat(toolchains=(GCC,), cores=2, slots=2, running=("00000001" + "f" * 24,)), 103.0)
    made.ask(3, "c", Allocate(GCC, wait_s=60.0), 104.0)
    made.heartbeat("10.0.0.2:1", beat(running=("aaaaaaaa" + "e" * 24,), draining=True), 105.0)
    made.heartbeat("10.0.0.3:1", beat(slots=0), 106.0)
    made.ask(4, "c", Allocate(CLANG, without=("10.0.0.3:1",)), 107.0)
    return made


def test_overview():
    """Everything that is known, without what is secret; the busiest, the longest and the most used come first."""
    made = farm()
    made.heartbeat("10.0.0.4:1", beat(toolchains=(CLANG,)), 108.0)
    view = overview(made, 110.0, 10.0)
    assert (view.up_s, view.num_servers, view.num_cpus, view.in_progress, view.waiting) == (100.0, 4, 14, 4, 0)
    assert view.workers == (
        WorkerRow("10.0.0.1:1", "full", 2, 2, 2, 1.0, 1, 7.0),
        WorkerRow("10.0.0.4:1", "ready", 4, 4, 1, 0.25, 1, 2.0),
        WorkerRow("10.0.0.2:1", "draining", 4, 4, 1, 0.25, 0, 5.0),
        WorkerRow("10.0.0.3:1", "failing", 4, 0, 0, 0.0, 0, 4.0),
    )
    assert view.toolchains == (ToolchainRow(GCC, 2, 3), ToolchainRow(CLANG, 1, 0))
    assert view.jobs[0] == JobRow("00000001", "10.0.0.1:1", GCC, "running", 9.0)
    assert view.jobs[1] == JobRow("00000002", "10.0.0.1:1", GCC, "granted", 8.0)
    assert view.jobs[2] == JobRow("aaaaaaaa", "10.0.0.2:1", "", "running", 5.0)
    assert JOB_KEY not in repr(view)
    assert "ffff" not in repr(view).replace(GCC, "")


def test_longest_wait():
    """Of those that wait now."""
    view = overview(farm(), 110.0, 10.0)
    assert (view.waiting, view.longest_wait_s) == (1, 6.0)


def test_a_large_farm_is_cut():
    """The page says how many there are; the answer stays small."""
    jobs = (f"{number:032x}" for number in count())
    made = Scheduler(lambda: next(jobs), 0.0)
    for number in range(1500):
        made.heartbeat(f"w{number}", beat(toolchains=(f"{number % 200:064x}",)), 1.0)
    for number in range(700):
        made.ask(number, "c", Allocate(GCC), 2.0)
    view = overview(made, 3.0, 0.0)
    assert (view.num_servers, len(view.workers)) == (1500, 1000)
    assert (view.in_progress, len(view.jobs)) == (700, 500)
    assert (view.num_toolchains, len(view.toolchains)) == (201, 100)


def test_nothing_comes_from_outside():
    """No address but its own in the page; the policy allows nothing that it does not name."""
    assert not re.search(r"https?://|//[a-z]|@import|url\(|<img|<link|<iframe|\son[a-z]+=|\sstyle=|innerHTML|eval\(", status_page.PAGE)
    assert "'unsafe" not in status_page.POLICY
    assert status_page.POLICY.startswith("default-src 'none';")


# -- in a browser


async def dom(it: Asking, folder: Path, *, budget_ms: int = 1500) -> str:
    """What the page is after some time of its own; the browser's complaints are none."""
    folder.mkdir()
    argv = [
        *QUIET,
        f"--user-data-dir={folder}",
        f"--virtual-time-budget={budget_ms}",
        "--enable-logging=stderr",
        "--dump-dom",
        it.url + "/",
    ]
    pipe = asyncio.subprocess.PIPE
    browser = await asyncio.create_subprocess_exec(BROWSER or "", *argv, stdout=pipe, stderr=pipe, env={"HOME": str(folder), "LANG": "C"})
    try:
        out, err = await asyncio.wait_for(browser.communicate(), 90)
    finally:
        if browser.returncode is None:
            browser.kill()
            await browser.wait()
    complaints = [line for line in err.decode().splitlines() if "CONSOLE" in line and "favicon" not in line]
    assert [line for line in complaints if "Content Security Policy" in line or "Uncaught" in line] == []
    return out.decode()


def in_browser(test: Callable[[Asking], Awaitable[None]], shell: Shell | None = None) -> None:
    """Run with a scheduler."""

    async def main() -> None:
        async with scheduler(shell) as it:
            await test(it)

    asyncio.run(main())


def rows(page: str, table: str) -> list[list[str]]:
    """The text of a table's cells."""
    part = page[page.index(f'id="{table}"') :]
    part = part[: part.index("</div>")]
    lines = re.findall(r"<tr>(.*?)</tr>", part, re.DOTALL)
    return [[html.unescape(re.sub("<[^>]*>", "", cell)) for cell in re.findall(r"<td.*?</td>", line, re.DOTALL)] for line in lines[1:]]


@needs_browser
def test_page_in_a_browser(tmp_path):
    """Workers, jobs, queue and toolchains are there to read."""

    async def test(it: Asking):
        await it.heartbeat("127.0.0.1:1", toolchains=(GCC,), cores=8, slots=8)
        for _ in range(3):
            await it.granted()
        await it.heartbeat("127.0.0.1:2", running=("ab" * 16,), draining=True)
        page = await dom(it, tmp_path / "profile")
        workers = rows(page, "workers")
        assert [row[:6] for row in workers] == [
            ["127.0.0.1:2", "draining", "50 %", "1 of 2", "2", "0"],
            ["127.0.0.1:1", "ready", "38 %", "3 of 8", "8", "1"],
        ]
        assert all(row[6].endswith(" s ago") for row in workers)
        assert rows(page, "toolchains") == [[GCC[:16], "1", "3"]]
        assert sorted(row[3] for row in rows(page, "jobs")) == ["granted", "granted", "granted", "running"]
        numbers = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page))
        shown = {name: numbers[name] for name in ("Workers", "Cores", "Jobs", "Waiting", "Places given")}
        assert shown == {"Workers": "2", "Cores": "10", "Jobs": "4", "Waiting": "0", "Places given": "3"}
        assert "as of" in page

    in_browser(test)


@needs_browser
def test_empty_farm_in_a_browser(tmp_path):
    """Says so in words."""

    async def test(it: Asking):
        page = await dom(it, tmp_path / "profile")
        for words in ("No worker has been heard.", "No worker has a toolchain yet.", "Nothing is being compiled."):
            assert f'<p class="none">{words}</p>' in page

    in_browser(test)


@needs_browser
def test_html_stays_text_in_a_browser(tmp_path):
    """Even if the checks let it through: what a worker says is never markup, and no script of another runs."""
    evil = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"

    async def test(it: Asking):
        it.shell.scheduler.heartbeat(evil, beat(toolchains=(evil,), running=(evil,)), it.shell.now())
        page = await dom(it, tmp_path / "profile")
        assert "<title>sccache-dist scheduler</title>" in page
        assert "<img" not in page
        assert page.count("<script>") == 1
        assert rows(page, "workers")[0][0] == evil

    in_browser(test)


@needs_browser
def test_page_asks_again_in_a_browser(tmp_path):
    """What came later is shown; and when the scheduler does not answer any more, that is said beside the last numbers."""

    class Changing(Shell):
        async def overview(self, request: web.Request) -> web.Response:
            name = next(answers, None)
            if name is None:
                raise RefusedError(503, "broken", "No more")
            self.scheduler.heartbeat(name, beat(), self.now())
            self._overview = (0.0, b"")
            return await super().overview(request)

    async def test(it: Asking):
        page = await dom(it, tmp_path / "profile", budget_ms=9000)
        assert sorted(row[0] for row in rows(page, "workers")) == ["one", "two"]
        assert '<span id="contact" role="status" class="lost">the scheduler does not answer</span>' in page

    answers = iter(["one", "two"])
    in_browser(test, Changing(Clients(), Workers(), str))
