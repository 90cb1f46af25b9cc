"""The runs that are watched: those of a folder as they come and go, or one."""

import os
import threading
from collections.abc import Mapping
from hashlib import sha256
from itertools import count
from pathlib import Path

from archive_store.durable import PARTIAL
from archive_store.holder import RUNNING
from archive_store.shown import shown
from runs.errors import ConfigError, command
from runs.results.listing import runs_below
from runs.watching.followed import DAMAGED, TWICE, Followed, Seen

SEARCH = 4  # looks until the folder is searched again, and runs are looked at that do not go on
KEY = 16  # digits of a key: any name of a folder has one that can stand in an address


class Watched:
    """Runs that are looked at by one thread, and told of to others.

    Parameters
    ----------
    place
        The folder of a run, or one that holds runs at any depth.

    Raises
    ------
    ConfigError
        If it holds no run that can be read.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.is_one = is_run(place)
        self._followed: dict[str, Followed] = {}
        self._seen: dict[str, Seen] = {}
        self._versions = count(1)
        self._changed = threading.Condition()
        self._version, self._looks, self._ended = 0, 0, False
        for _ in range(SEARCH * (TWICE - 1) + 1):  # what is damaged is so twice
            self.look()
        self._check()

    def look(self) -> None:
        """Look at the runs that go on; now and then, at all others and for new ones."""
        if thorough := self._looks % SEARCH == 0:
            self._search()
        self._looks += 1
        found = {
            key: run.look() if thorough or run.seen.state == RUNNING else run.seen
            for key, run in self._followed.items()
        }
        seen = {key: each for key, each in found.items() if each is not None}
        with self._changed:
            if _versions(seen) != _versions(self._seen):
                self._version += 1
                self._changed.notify_all()
            self._seen = seen
        if not self.is_one:
            self._followed = {key: run for key, run in self._followed.items() if key in seen}

    def runs(self) -> Mapping[str, Seen]:
        """Return what was seen last of each run by its key, in the order of their names."""
        with self._changed:
            return dict(sorted(self._seen.items(), key=lambda item: item[1].name))

    def path(self, key: str) -> Path | None:
        """Return the folder of a watched run."""
        found = self._followed.get(key)
        return None if found is None else found.path

    def wait(self, version: int, timeout: float) -> int:
        """Wait until something is new since a version, or for so many seconds, and return the version.

        Parameters
        ----------
        version
            What the last call returned; -1: none.
        timeout
            Seconds.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._version != version, timeout)
            return self._version

    @property
    def ended(self) -> bool:
        """Whether nobody looks any more."""
        return self._ended

    def end(self) -> None:
        """Let all who wait know that nobody looks any more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _search(self) -> None:
        if self.is_one:
            found = {self.place.resolve().name: self.place}
        elif self.place.is_dir():
            found = {path.relative_to(self.place).as_posix(): path for path in runs_below(self.place)}
        else:
            found = {}
        for name, path in found.items():
            # One that is still being calibrated takes its name when it can be read.
            if any(part.endswith(PARTIAL) for part in Path(name).parts) or _calibrates(path):
                continue
            key = sha256(os.fsencode(name)).hexdigest()[:KEY]
            if key not in self._followed:
                self._followed[key] = Followed(key, shown(name), path, self._versions)

    def _check(self) -> None:
        seen = list(self.runs().values())
        if not seen:
            raise ConfigError(
                f"there is no run in {self.place}; make one, such as with: "
                f"{command('launch', 'smoke', '--out', self.place / 'smoke')}"
            )
        if all(each.state == DAMAGED for each in seen):
            raise ConfigError(str(seen[0].reason))


def _calibrates(path: Path) -> bool:
    """Whether a run is what the runs of an experiment take their calibration from, and never goes on."""
    return path.parts[-3:-2] == ("calibrations",) and (path.parents[2] / "experiment.yaml").is_file()


def _versions(seen: Mapping[str, Seen]) -> dict[str, int]:
    return {key: each.version for key, each in seen.items()}


def is_run(place: Path) -> bool:
    """Whether a folder is that of a run and not one that holds runs.

    Raises
    ------
    ConfigError
        If there is no such folder.
    """
    if not place.is_dir():
        raise ConfigError(f"there is no folder {place}; give one that holds runs, or the folder of a run")
    return any(os.path.lexists(place / name) for name in ("config.yaml", "journal.sqlite"))
