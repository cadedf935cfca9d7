"""The drop folder: a file put into `<folder>/<dataset>/` is uploaded to raw, then archived.

Invariants:
- only whole files are taken: one that was closed or moved in, or that did not change for a while,
  and that nobody has open for writing;
- a file leaves its place only after its upload is durable, to `.archive/<time>/` under the same
  relative name. One that changed meanwhile stays, and its new content is uploaded too;
- a failure leaves the file where it is, and is tried again with a growing delay;
- what lies there at the start is taken too. A kill between upload and archive means that a file is
  uploaded twice, which ends as a duplicate;
- hidden and temporary files, links, files outside a dataset's folder and such as no object can be
  called are left alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import logging
import mimetypes
import os
import shutil
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import ObservedWatch

from eventpulse.adapters.object_names import check_name
from eventpulse.ports import ObjectStore

logger = logging.getLogger(__name__)

ARCHIVE = ".archive"
TEMPORARY_SUFFIXES = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".filepart", "~")

_SETTLE_SECONDS = 1.0
_RESCAN_SECONDS = 30.0
_LONGEST_DELAY_SECONDS = 60.0
_BLOCK_BYTES = 1 << 20

_CONTENT_TYPES = {
    ".csv": "text/csv",
    ".ndjson": "application/x-ndjson",
    ".parquet": "application/vnd.apache.parquet",
}


@dataclass
class _Waiting:
    """A file that is not taken yet: how it looked last, and how often taking it failed."""

    looked: tuple[int, ...] = ()
    closed: bool = False
    failures: int = 0
    due: float = field(default_factory=time.monotonic)


class Watcher:
    """Watches one folder from a thread of its own, from start to stop."""

    def __init__(
        self,
        folder: Path,
        objects: ObjectStore,
        *,
        settle_seconds: float = _SETTLE_SECONDS,
        rescan_seconds: float = _RESCAN_SECONDS,
    ) -> None:
        self._folder = folder
        self._objects = objects
        self._settle = settle_seconds
        self._rescan = rescan_seconds
        self._changed = threading.Condition()
        self._waiting: dict[Path, _Waiting] = {}
        self._due: list[tuple[float, Path]] = []
        self._strays: set[Path] = set()
        self._watches: dict[Path, ObservedWatch] = {}
        self._next_scan = 0.0
        self._stopping = False

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._observer = Observer()
        self._observer.schedule(_Notices(self), str(self._folder))
        self._observer.start()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Finish the file under way, and take no more."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._observer.stop()
        self._observer.join()
        self._thread.join()

    def notice(self, path: Path, *, closed: bool) -> None:
        """Something happened to a file; `closed`: who wrote it is done."""
        if not self._is_wanted(path):
            return
        with self._changed:
            waiting = self._waiting.setdefault(path, _Waiting())
            waiting.closed = waiting.closed or closed
            self._put(path, waiting, 0.0 if closed else self._settle)

    def notice_folder(self) -> None:
        """Some folder came or went."""
        with self._changed:
            self._next_scan = 0.0
            self._changed.notify()

    def _is_wanted(self, path: Path) -> bool:
        relative = path.relative_to(self._folder)
        if any(is_hidden(part) for part in relative.parts) or is_temporary(path.name):
            return False
        remedy = "put it into a folder that is named as its dataset"
        if len(relative.parts) > 1:
            try:
                check_name(relative.as_posix())
            except ValueError as error:
                remedy = f"rename it. {error}"
            else:
                return True
        with self._changed:
            if path in self._strays or not path.is_file():
                return False
            self._strays.add(path)
        logger.warning("%r is left alone: %s", str(path), remedy)
        return False

    def _put(self, path: Path, waiting: _Waiting, delay: float) -> None:
        with self._changed:
            waiting.due = time.monotonic() + delay
            heapq.heappush(self._due, (waiting.due, path))
            self._changed.notify()

    # --- The thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            if time.monotonic() >= self._next_scan:
                # Also for what a notice may have missed: an overflow, a folder that was moved in.
                self._next_scan = time.monotonic() + self._rescan
                for path in self._scan():
                    if path not in self._waiting:
                        self.notice(path, closed=False)
            due = self._take()
            if due is not None:
                self._look(due)

    def _scan(self) -> Iterator[Path]:
        """Every file there is; watches are set before anything is listed."""
        datasets = [each for each in self._folder.iterdir() if each.is_dir()]
        self._watch([each for each in datasets if not is_hidden(each.name)])
        for root, folders, files in os.walk(self._folder):
            folders[:] = sorted(name for name in folders if not is_hidden(name))
            yield from (Path(root, name) for name in sorted(files))

    def _watch(self, datasets: list[Path]) -> None:
        """Watch these folders and no others: never the archive, which only grows."""
        for gone in self._watches.keys() - set(datasets):
            self._observer.unschedule(self._watches.pop(gone))
        for new in set(datasets) - self._watches.keys():
            with contextlib.suppress(FileNotFoundError):  # it is gone again
                notices = _Notices(self)
                self._watches[new] = self._observer.schedule(notices, str(new), recursive=True)

    def _take(self) -> Path | None:
        """The next path that is due; None when it is time to scan, or to stop."""
        with self._changed:
            while not self._stopping:
                now = time.monotonic()
                if self._due and self._due[0][0] <= now:
                    due, path = heapq.heappop(self._due)
                    waiting = self._waiting.get(path)
                    if waiting is not None and waiting.due == due:  # else put off since
                        return path
                    continue
                if now >= self._next_scan:
                    return None
                following = min([self._next_scan, *(at for at, _ in self._due[:1])])
                self._changed.wait(following - now)
            return None

    def _look(self, path: Path) -> None:
        waiting = self._waiting[path]
        try:
            looks = describe_file(path)
            if looks is None:
                self._forget(path)
            elif is_being_written(path) or not (waiting.closed or waiting.looked == looks):
                waiting.looked, waiting.closed = looks, False
                self._put(path, waiting, self._settle)
            elif self._ingest(path, looks):
                self._forget(path)
            else:
                waiting.looked, waiting.closed = (), False
                self._put(path, waiting, self._settle)
        except Exception:
            waiting.failures += 1
            delay = min(_LONGEST_DELAY_SECONDS, self._settle * 2.0 ** min(waiting.failures, 10))
            logger.exception("%s could not be taken, again in %.0f s", path, delay)
            self._put(path, waiting, delay)

    def _forget(self, path: Path) -> None:
        with self._changed:
            self._waiting.pop(path, None)

    def _ingest(self, path: Path, looks: tuple[int, ...]) -> bool:
        """Upload and archive a file; False when it changed meanwhile, and stays."""
        relative = path.relative_to(self._folder)
        upload_file(self._objects, path, relative.as_posix())
        if describe_file(path) != looks:
            return False
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        archived = self._folder / ARCHIVE / stamp / relative
        archived.parent.mkdir(parents=True, exist_ok=True)
        path.rename(archived)
        logger.info("ingested %s; the file is now %s", relative, archived)
        return True


class _Notices(FileSystemEventHandler):
    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.is_directory:
            if event.event_type in ("created", "moved", "deleted"):
                self._watcher.notice_folder()
            return
        source, target = os.fsdecode(event.src_path), os.fsdecode(event.dest_path)
        if event.event_type in ("created", "modified", "closed"):
            self._watcher.notice(Path(source), closed=event.event_type == "closed")
        elif event.event_type == "moved" and target:
            self._watcher.notice(Path(target), closed=True)


# --- Files ---------------------------------------------------------------------------------------


def is_hidden(name: str) -> bool:
    """Names that no supplier gives to data."""
    return name.startswith((".", "~$"))


def is_temporary(name: str) -> bool:
    """Names that programs give to what they have not finished."""
    return name.lower().endswith(TEMPORARY_SUFFIXES)


def describe_file(path: Path) -> tuple[int, ...] | None:
    """What changes when a file does; None for one that is gone or is no plain file."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def is_being_written(path: Path) -> bool:
    """Whether some process has the file open for writing, where the kernel tells.

    A read lease is refused as long as there is a writer; Linux gives one to the file's owner.
    """
    if sys.platform != "linux":
        return False
    with path.open("rb") as file:
        try:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False


def upload_file(objects: ObjectStore, path: Path, name: str) -> None:
    """Create the next generation of a raw object from a file."""
    kind = _CONTENT_TYPES.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0]
    with (
        path.open("rb") as file,
        objects.write(
            "raw", name, content_type=kind or "application/octet-stream", replace=True
        ) as out,
    ):
        shutil.copyfileobj(file, _Sink(out.write), _BLOCK_BYTES)


class _Sink:
    def __init__(self, write: Callable[[bytes], int]) -> None:
        self.write = write
