"""Private copies of runs that go on: a page is read from these, so that no driver waits while it is made."""

from contextlib import suppress
from pathlib import Path

from archive_store import inside
from archive_store.journal.mirror import Mirror
from archive_store.reading import open_run
from archive_store.run_directory import RunDirectory


class Copy:
    """A folder that holds what of a run its page is made of.

    Parameters
    ----------
    run
        The folder of the run, which is only read.
    place
        The folder of the copy, which need not exist; its name is the run's.
    """

    def __init__(self, run: Path, place: Path) -> None:
        self._run, self._copy = RunDirectory(run), RunDirectory(place)
        self._mirror = Mirror(self._run.journal_path, self._copy.journal_path)

    def refresh(self) -> Path:
        """Bring the copy up to date and return its folder, or that of the run where it is finished.

        Raises
        ------
        StoreError
            If the run cannot be read.
        """
        if self._run.finished():
            return self._run.path
        RunDirectory.open(self._run.path)
        self._copy.path.mkdir(parents=True, exist_ok=True)
        for source, copy in (
            (self._run.config_path, self._copy.config_path),
            (self._run.environment_path, self._copy.environment_path),
        ):
            with suppress(OSError):  # which is told when the copy is read
                copy.write_bytes(inside.read(self._run.path, source, inside.LARGEST_TEXT))
        self._mirror.follow()
        self._copy_centroids()
        return self._copy.path

    def _copy_centroids(self) -> None:
        digest = open_run(self._copy.path).calibration()["centroids"]
        path = self._copy.blobs.path(digest)
        if not path.exists():
            data = self._run.blobs.get(digest)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
