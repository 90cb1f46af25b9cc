"""Several processes that train one model together: started, told to stop, and spoken for by one sentence if one fails.

They find each other by a file in a folder of their own, so that no port is agreed on, and exchange gradients by NCCL on
CUDA and by Gloo elsewhere. Progress comes to the process that started them, which alone writes to the terminal.
"""

import json
import os
import queue
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from archive_store.errors import StoreError
from runs.errors import ConfigError, PlasmodiaError, RunError, Stopped
from runs.machine import settings
from runs.machine.interruption import SIGNALS
from runs.models.config import TrainConfig
from runs.models.fit.folder import TrainingFolder, as_training
from runs.observability.fitting import FitProgress

_ERRORS = {kind.__name__: kind for kind in (RunError, ConfigError, Stopped, PlasmodiaError)}
_POLL = 0.1  # seconds between two looks at the processes
_AT_ONCE = 1000  # reports between two looks at the processes
_PATIENCE = 2.0  # seconds in which the others may say why they fail too, after one has


def train_together(
    config: TrainConfig,
    folder: TrainingFolder,
    size: int,
    *,
    report: Callable[[FitProgress], None],
    stop: Callable[[], bool],
    how: str,
) -> str:
    """Train in several processes, and return why the training ended.

    Parameters
    ----------
    config
        Of the training.
    folder
        Where the first of them writes.
    size
        How many there are.
    report
        Is called with the progress.
    stop
        Whether to stop; they are all told, and do so after the step under way.
    how
        The command that goes on with it.

    Raises
    ------
    Stopped, RunError, ConfigError
        What the first process, or the one that failed, raised.
    """
    from torch.multiprocessing import get_context
    from torch.multiprocessing.spawn import start_processes

    with tempfile.TemporaryDirectory(prefix="plasmodia-fit-") as place:
        meeting = Path(place)
        progress = get_context("spawn").Queue()
        arguments = (size, config.model_dump_json(), str(folder.path), str(meeting), how, progress)
        started = start_processes(_rank, arguments, nprocs=size, join=False, start_method="spawn").processes
        try:
            codes = _watch(started, progress, report, stop)
            _end(started, _PATIENCE)
        finally:
            _end(started, 0.0)
            progress.close()
        return _answer(codes, meeting, stop())


def _watch(
    started: list[Any],
    progress: Any,
    report: Callable[[FitProgress], None],
    stop: Callable[[], bool],
) -> list[int | None]:
    """Report what comes until one process fails or all have ended, and return their exit codes by then.

    All are told once when they shall stop.
    """
    is_told = False
    while True:
        if stop() and not is_told:
            is_told = True
            for process in started:
                if process.is_alive():
                    os.kill(process.pid, signal.SIGTERM)
        codes = [process.exitcode for process in started]  # before what they have said is read to its end
        with suppress(queue.Empty):
            report(progress.get(timeout=_POLL))
            for _ in range(_AT_ONCE):
                report(progress.get_nowait())
        if any(codes) or None not in codes:
            return codes


def _end(started: list[Any], patience: float) -> None:
    """Wait for processes to end, so many seconds together, and kill those that do not."""
    until = time.monotonic() + patience
    for process in started:
        process.join(max(0.0, until - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


def _answer(codes: list[int | None], meeting: Path, is_asked: bool) -> str:
    """Return why the training ended, as the first process says, or raise what went wrong."""
    for rank in range(len(codes)):
        with suppress(FileNotFoundError):
            said = json.loads((meeting / f"{rank}.json").read_text())
            if "error" in said:
                raise _ERRORS.get(said["error"], RunError)(said["text"])
    # One that had said all may still be told to stop, and then ends by the signal.
    silent = [
        (code, rank) for rank, code in enumerate(codes) if code and not (meeting / f"{rank}.json").is_file()
    ]
    if silent:
        if is_asked:  # while it was still loading
            raise KeyboardInterrupt
        code, rank = min(silent)  # one that was killed before one that missed it
        why = f"ended with status {code}" if code > 0 else f"was killed by {signal.Signals(-code).name}"
        raise RunError(
            f"process {rank} of {len(codes)} {why}; go on from the newest checkpoint with --resume"
        )
    return str(json.loads((meeting / "0.json").read_text())["reason"])


def _rank(rank: int, size: int, config_json: str, folder: str, meeting: str, how: str, progress: Any) -> None:
    """Train as one of several processes; what came of it is left in a file."""
    settings.prepare()
    place = Path(meeting)
    with _asked() as stop:
        try:
            reason = _trained(rank, size, config_json, folder, place, how, progress, stop)
        except (PlasmodiaError, StoreError) as error:
            _say(place, rank, {"error": _kind(error), "text": str(error)})
            os._exit(1)  # not by way of a process group whose other members may be waiting
        _say(place, rank, {"reason": reason})


def _trained(
    rank: int,
    size: int,
    config_json: str,
    folder: str,
    place: Path,
    how: str,
    progress: Any,
    stop: Callable[[], bool],
) -> str:
    import torch
    import torch.distributed as group

    from runs.models.fit.loop import train
    from runs.models.fit.prepared import prepare
    from runs.models.fit.step.trainer import Trainer
    from runs.models.fit.step.world import World

    config = TrainConfig.model_validate_json(config_json)
    prepared = prepare(config, rank, size)
    is_cuda = prepared.device.type == "cuda"
    if is_cuda:
        torch.cuda.set_device(prepared.device)
    group.init_process_group(
        "nccl" if is_cuda else "gloo", init_method=f"file://{place / 'meeting'}", rank=rank, world_size=size
    )
    with as_training(how):
        reason = train(
            Trainer(prepared, World(rank, size)),
            TrainingFolder(Path(folder)),
            report=progress.put,
            stop=stop,
            clock=time.monotonic,
            how=how,
        )
    group.destroy_process_group()
    return reason


@contextmanager
def _asked() -> Iterator[Callable[[], bool]]:
    """Note signals, however many: on a terminal all processes get each, and the one that started them sends more."""
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    for number in SIGNALS:
        signal.signal(number, note)
    yield lambda: bool(asked)


def _kind(error: Exception) -> str:
    return next((kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _ERRORS), "RunError")


def _say(place: Path, rank: int, what: dict[str, str]) -> None:
    (place / f"{rank}.json").write_text(json.dumps(what))
