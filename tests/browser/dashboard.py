"""The dashboard as its users see it: pages, what axe says of them, how fast they came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import ConsoleMessage, Locator, Page, expect

from emulators.user import StackUser, await_none
from eventpulse.local.stack import ROOT, Stack

SCREENSHOTS = ROOT / "web" / "screenshots"
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"

_LOADS = 5
BARE_PAINT_MS = 150.0
"""What the bare page takes on the machine that the bar was set on."""
READINGS_SECONDS = 60.0

_VITALS = """() => new Promise((resolve) => {
  let shift = 0, paint = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) shift += entry.value;
  }).observe({ type: "layout-shift", buffered: true });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) paint = entry.startTime;
  }).observe({ type: "largest-contentful-paint", buffered: true });
  requestAnimationFrame(() => setTimeout(() => resolve({ paint, shift }), 0));
})"""

_GATE = """(() => {
  const send = window.fetch, late = sessionStorage.getItem("late"), paths = new Set();
  let open = 0, held = 0, free;
  const gate = new Promise((resolve) => { free = resolve; });
  const settled = (resolve) => {
    if (open === 0 && held > 0) resolve();
    else requestAnimationFrame(() => settled(resolve));
  };
  window.answers = { paths, free, await: () => new Promise(settled) };
  window.fetch = async (request) => {
    const { pathname, searchParams } = new URL(request.url);
    const path = [pathname, ...searchParams.keys()].join(" ");
    paths.add(path);
    if (path === late) {
      held += 1;
      await gate;
      return send(request);
    }
    open += 1;
    try {
      const response = await send(request);
      await response.clone().arrayBuffer();
      return response;
    } finally {
      open -= 1;
    }
  };
})()"""

_STILL = """() => new Promise((resolve) => {
  let frames = 0;
  const observer = new MutationObserver(() => { frames = 0; });
  observer.observe(document, {
    subtree: true, childList: true, characterData: true, attributes: true,
  });
  const step = () => {
    frames += 1;
    if (frames > 4) { observer.disconnect(); resolve(); } else requestAnimationFrame(step);
  };
  step();
})"""


@dataclass(frozen=True)
class Seeded:
    """A stack, its user, the first ingestion of each of the demo's scenarios, and ids of what
    else there is."""

    stack: Stack
    user: StackUser
    ingestions: Mapping[str, str]
    others: Mapping[str, str]

    def await_readings(self, device: str) -> None:
        """Until the table has some of its readings. Raises NotEnded."""
        path = f"devices/{device}/series"
        await_none(lambda: [] if self.user.get(path)["points"] else [path], READINGS_SECONDS)


@dataclass(frozen=True)
class Vitals:
    """Milliseconds to the largest contentful paint; the cumulative layout shift."""

    paint: float
    shift: float


class Dashboard:
    """One tab."""

    def __init__(self, page: Page, seeded: Seeded) -> None:
        self.page = page
        self.seeded = seeded
        self.faults: list[str] = []
        self._gated = False
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._note)

    def _note(self, message: ConsoleMessage) -> None:
        """Requests that fail are the test's own doing; anything else is a fault of the page."""
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.faults.append(message.text)

    @property
    def url(self) -> str:
        return self.seeded.stack.url

    @property
    def heading(self) -> Locator:
        return self.page.get_by_role("heading", level=1)

    def sign_in(self) -> None:
        """As `up` has one do it, on a page that asks for nothing; the token must be gone from the
        address at once."""
        self.page.goto(f"{self.url}/nowhere#token={self.seeded.stack.token}")
        expect(self.page).to_have_url(f"{self.url}/nowhere")

    def open(self, path: str) -> None:
        """As if one typed the address."""
        self.page.goto(f"{self.url}{path}")
        self.settle()

    def settle(self) -> None:
        """Until the page shows what it has to show."""
        expect(self.heading).to_be_visible()
        expect(self.page.get_by_text("Loading…")).to_have_count(0)
        expect(self.page.locator(".fading")).to_have_count(0)

    def open_in_turn(self, path: str) -> dict[str, float]:
        """The layout's shift when the answers of one of the API's paths come after all others: for
        each that the page asks (with the names of what it asks there), if they are several."""
        if not self._gated:
            self.page.add_init_script(_GATE)
            self._gated = True
        self.page.evaluate("sessionStorage.removeItem('late')")
        self.open(path)
        asked: list[str] = self.page.evaluate("[...answers.paths]")
        return {late: self._open_late(path, late) for late in asked} if len(asked) > 1 else {}

    def _open_late(self, path: str, late: str) -> float:
        self.page.evaluate("(late) => sessionStorage.setItem('late', late)", late)
        self.page.goto(f"{self.url}{path}")
        self.page.evaluate("answers.await()")
        self.page.evaluate(_STILL)
        self.page.evaluate("answers.free()")
        self.settle()
        self.page.evaluate(_STILL)
        return self._read_vitals().shift

    def find_violations(self) -> list[str]:
        """What axe has against the page, as "rule: element"."""
        self.page.evaluate(_read_axe())
        found: dict[str, Any] = self.page.evaluate("axe.run({ resultTypes: ['violations'] })")
        return [
            f"{violation['id']}: {node['html'][:200]} {node['failureSummary']}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]

    def slow_down(self, times: float) -> None:
        """Has the browser's processor take so many times as long for everything."""
        session = self.page.context.new_cdp_session(self.page)
        session.send("Emulation.setCPUThrottlingRate", {"rate": times})

    def measure(self, most_paint: float) -> Vitals:
        """Of the page as it was loaded last, or loads again when something else on the machine has
        slowed that down: the quickest of a few loads is the page's own time. On a machine that
        paints the bare page slower than the one that the bar was set on, it is as much less."""
        here = self.page.url
        loads = [self._read_vitals()]
        pace = 1.0
        while min(each.paint for each in loads) > most_paint * pace and len(loads) < _LOADS:
            pace = max(pace, self._read_pace())
            self.page.goto(here)
            self.settle()
            loads.append(self._read_vitals())
        shift = max(each.shift for each in loads)
        return Vitals(min(each.paint for each in loads) / pace, shift)

    def _read_pace(self) -> float:
        """The time of a page that asks the API for nothing, as a multiple of BARE_PAINT_MS."""
        self.open("/nowhere")
        return self._read_vitals().paint / BARE_PAINT_MS

    def _read_vitals(self) -> Vitals:
        found: dict[str, float] = self.page.evaluate(_VITALS)
        return Vitals(found["paint"], found["shift"])

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        width: int = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return width

    def shoot(self, name: str) -> Path:
        """A screenshot of the whole page."""
        SCREENSHOTS.mkdir(exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        self.page.screenshot(path=path, full_page=True)
        return path


@cache
def _read_axe() -> str:
    return AXE.read_text()
