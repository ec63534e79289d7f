"""How the dashboard holds up, run by hand: python tests/load/sessions.py [--sessions 10] [--browsers 1]

A fresh server on this machine. First one session in Chromium alone: the time from a click on a page's name to that
page's drawn charts, and from Enter in a field to the changed chart. Then several sessions at once, each of which
changes a field every two seconds. Every value is a new one, so no answer comes out of the cache.

Ten browsers would draw on the processors that the server needs, which browsers of users do not: all but one are
sessions without a browser (sockets.py), timed until the changed chart has arrived. The one that is a browser says what
drawing adds. `--browsers 10` has them all draw here.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from playwright.async_api import async_playwright  # noqa: E402

from tests.browser.conftest import serving  # noqa: E402
from tests.load import sockets  # noqa: E402

CHARTS = {
    "Plan": ("Where the time goes", "Decode operators"),
    "Timeline": ("Overview of the run", "Queues in the window"),
    "Search": ("Pareto chart", "Heat map"),
    "Compare": ("Times compared", "Memory compared"),
    "Method": ("Decode", "Decode"),
    "Catalog": ("Models", "Models"),
    "Accuracy": ("Accuracy", "Accuracy"),
}
"""Page → beginnings of the descriptions of its first chart and of the last one that is not worked out beside it."""
CHANGING = ("Plan", "Timeline", "Search", "Compare", "Method")
"""Pages with charts of the scenario."""
CROWD = ("Plan", "Plan", "Plan", "Timeline", "Search", "Plan", "Timeline", "Compare", "Plan", "Method")
"""Where the sessions are, in turn."""
SWITCH_S, CHANGE_S, CROWD_P95_S = 0.6, 0.4, 1.5
"""Budgets."""
PATIENCE_S = 30
PINS = "pin1=tp:4&pin2=tp:2"
TIMES = 5
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
SCRIPT = """
window.aggsimLoad = {
  start: 0,
  chart(label) {
    const all = [...document.querySelectorAll('[data-testid="stVegaLiteChart"]')]
    const found = all.find((chart) => (chart.getAttribute("aria-label") || "").startsWith(label))
    const marks = found && found.querySelector("svg.marks")
    return marks ? found.getAttribute("aria-label") + marks.innerHTML : null
  },
  // Seconds from the next click or Enter until the page of that title has drawn this chart, and another than before.
  arm(title, label, isChange) {
    const before = isChange ? this.chart(label) : null
    this.start = 0
    this.done = new Promise((resolve) => {
      const look = () => {
        const now = this.start && document.querySelector("h1")?.textContent === title ? this.chart(label) : null
        if (now && now !== before) resolve((performance.now() - this.start) / 1000)
        else setTimeout(look, 10)
      }
      look()
    })
  },
}
const begin = (event) => {
  if (event.type !== "keydown" || event.key === "Enter") window.aggsimLoad.start ||= performance.now()
}
for (const input of ["pointerdown", "keydown"]) window.addEventListener(input, begin, true)
"""


@dataclass(slots=True)
class Session:
    """One browser context, and what went wrong in it."""

    page: Any
    number: int
    title: str = "Plan"
    steps: int = 0
    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    async def switch(self, title: str, chart: str) -> float:
        """By the page's name in the navigation."""
        await self._arm(title, chart, is_change=False)
        await self.page.get_by_role("link", name=title, exact=True).click()
        self.title = title
        return await self._time()

    async def change(self, chart: str) -> float:
        """The next field to the next value that nobody has asked for yet."""
        await self._arm(self.title, chart, is_change=True)
        self.steps += 1
        label = ("Output length (tokens)", "Input length (tokens)")[self.steps % 2]
        entry = self.page.locator(f'input[aria-label="{label}"]')
        await entry.fill(str(700 + 211 * self.number + 3 * self.steps))
        await entry.press("Enter")
        return await self._time()

    async def close(self) -> None:
        await self.page.context.close()

    async def quiet(self) -> None:
        """Until the script has ended, with what is worked out beside the page."""
        await self.page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()

    async def _arm(self, title: str, chart: str, *, is_change: bool) -> None:
        arguments = [title, chart, is_change]
        await self.page.evaluate("([title, chart, isChange]) => aggsimLoad.arm(title, chart, isChange)", arguments)

    async def _time(self) -> float:
        seconds: float = await asyncio.wait_for(self.page.evaluate("aggsimLoad.done"), PATIENCE_S)
        if await self.page.locator('[data-testid="stException"], .aggsim-error').count():
            self.errors.append(f"session {self.number}, step {self.steps}: an error on screen")
        return seconds


async def opened(browser: Any, address: str, number: int, title: str) -> Session:
    """A session on that page."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    page = await context.new_page()
    await page.add_init_script(SCRIPT)
    page.set_default_timeout(PATIENCE_S * 1000)
    session = Session(page=page, number=number, title=title)
    page.on("pageerror", lambda error: session.errors.append(f"session {number}: {error}"))
    path = "" if title == "Plan" else title.lower()
    await page.goto(f"{address}/{path}{f'?{PINS}' if title == 'Compare' else ''}")
    await page.locator(f'[data-testid="stVegaLiteChart"][aria-label^="{CHARTS[title][0]}"] svg.marks').first.wait_for()
    await session.quiet()
    return session


async def alone(browser: Any, address: str) -> None:
    """One session: page switches and field changes, after a first round that is not counted."""
    session = await opened(browser, address, 0, "Compare")
    switches: dict[str, list[float]] = {title: [] for title in CHARTS}
    changes: dict[str, list[float]] = {title: [] for title in CHANGING}
    hurried: dict[str, list[float]] = {title: [] for title in CHANGING}
    for turn in range(TIMES + 1):
        for title, (_, last) in CHARTS.items():
            if title != session.title:
                await session.quiet()
                seconds = await session.switch(title, last)
                if turn:
                    switches[title].append(seconds)
            if title in CHANGING:
                await session.quiet()
                seconds = await session.change(CHARTS[title][0])
                again = await session.change(CHARTS[title][0])  # while the rest of the page is at work
                if turn:
                    changes[title].append(seconds)
                    hurried[title].append(again)
    print(f"\nOne session alone, {TIMES} times each: median and longest, ms")
    kinds = (("switch to", switches, SWITCH_S), ("change on", changes, CHANGE_S), ("at once on", hurried, CHANGE_S))
    for name, found, budget in kinds:
        for title, seconds in found.items():
            median = statistics.median(seconds)
            over = f"  over {1000 * budget:.0f}" if median > budget else ""
            print(f"  {name:10} {title:9} {1000 * median:6.0f} {1000 * max(seconds):6.0f}{over}")
    report_errors([session])
    await session.close()


async def crowd(browser: Any, address: str, process: int, options: argparse.Namespace) -> None:
    """Several sessions at once; the first ones are browsers."""
    seconds, every_s = options.seconds, options.every
    tabs: list[Session] = []
    quiet: list[sockets.Socket] = []
    for i in range(options.sessions):
        title = CROWD[i % len(CROWD)]
        if i < options.browsers:
            tabs.append(await opened(browser, address, i + 1, title))
        else:
            pins = PINS if title == "Compare" else ""
            quiet.append(await sockets.opened(address, i + 1, title, CHARTS[title][0], pins))
    sessions: list[Session | sockets.Socket] = [*tabs, *quiet]
    print(f"\n{len(sessions)} sessions ({len(tabs)} browsers), each a change every {every_s:g} s for {seconds:g} s")
    start, cpu_s = time.monotonic(), cpu(process)
    memory = [resident_mib(process)]
    work = asyncio.gather(*(worker(session, start, seconds, every_s) for session in sessions))
    while not (await asyncio.wait([work], timeout=seconds / 4))[0]:
        memory.append(resident_mib(process))
    elapsed = time.monotonic() - start
    memory.append(resident_mib(process))
    print(f"  server memory, start to end {' '.join(f'{size:.0f}' for size in memory)} MiB")
    print(f"  server's processors         {(cpu(process) - cpu_s) / elapsed:.2f} of {os.cpu_count()}")
    for title in dict.fromkeys(session.title for session in sessions):
        report_times(f"on {title}", [s for session in sessions if session.title == title for s in session.seconds])
    for name, some in (("browsers", tabs), ("sockets", quiet), ("all", sessions)):
        report_times(name, every := [s for session in some for s in session.seconds])
    if percentile(every, 95) > CROWD_P95_S:
        print(f"  over budget: P95 above {1000 * CROWD_P95_S:.0f} ms")
    report_errors(sessions)
    for session in sessions:
        await session.close()


async def worker(session: Session | sockets.Socket, start: float, seconds: float, every_s: float) -> None:
    """Changes of one session, begun at times of its own; one that is late goes on with the next."""
    due = start + every_s * (session.number % 10) / 10
    while due < start + seconds:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        try:
            session.seconds.append(await session.change(CHARTS[session.title][0]))
        except Exception as error:  # noqa: BLE001  whatever it is, it is counted and told
            session.errors.append(f"session {session.number}, step {session.steps}: {type(error).__name__} {error}")
        due = max(due + every_s, time.monotonic())


def report_times(name: str, seconds: Sequence[float]) -> None:
    """In ms."""
    if not seconds:
        return
    p50, p95 = (1000 * percentile(seconds, share) for share in (50, 95))
    print(
        f"  {name:14} {len(seconds):4} changes  P50 {p50:5.0f}  P95 {p95:5.0f}  longest {1000 * max(seconds):5.0f} ms"
    )


def report_errors(sessions: Sequence[Session | sockets.Socket]) -> None:
    """How many, and each."""
    errors = [error for session in sessions for error in session.errors]
    print(f"  errors: {len(errors)}")
    for error in errors[:20]:
        print(f"    {error[:200]}")


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * share // 100).__int__() - 1)]


def resident_mib(process: int) -> float:
    """Of the server and the processes that it has started."""
    found = 0.0
    for member in (process, *children(process)):
        lines = Path(f"/proc/{member}/status").read_text().splitlines()
        found += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
    return found


def cpu(process: int) -> float:
    """User and system seconds of the server so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children(process: int) -> list[int]:
    """Ids of the processes that it has started and that are still there."""
    tasks = Path(f"/proc/{process}/task")
    return [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]


async def measure(address: str, process: int, options: argparse.Namespace) -> None:
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=FLAGS)
        print(f"Load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        if not options.no_alone:
            await alone(browser, address)
        if options.sessions:
            await crowd(browser, address, process, options)
        print(f"\nLoad average after: {os.getloadavg()[0]:.1f}, this measurement's own part included")
        await browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=10, help="at once; 0: only one alone")
    parser.add_argument("--browsers", type=int, default=1, help="how many of them draw in Chromium")
    parser.add_argument("--seconds", type=float, default=60, help="how long")
    parser.add_argument("--every", type=float, default=2, help="seconds between two changes of a session")
    parser.add_argument("--no-alone", action="store_true", help="leave out the one session alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as (address, process):
        asyncio.run(measure(address, process, options))


if __name__ == "__main__":
    main()
