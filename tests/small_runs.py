"""Whole runs of half a second, and what they leave behind."""

import shutil
import sqlite3
from pathlib import Path
from typing import Any

from archive_store.chain import round_digest
from archive_store.journal import BASE, Journal
from archive_store.reading import open_run
from archive_store.run_directory import RunDirectory
from runs.config import Config
from runs.config_reader import load
from runs.launch import launch

# Everything happens (births, deaths, checks, two checkpoints), nothing is learnt.
SMALL = (
    "rounds=4",
    "task.examples=128",
    "organism.dim=16",
    "organism.max_rank=4",
    "organism.max_width=4",
    "organism.max_hidden=7",
    "training.steps_per_round=3",
    "training.batch=16",
    "calibration.steps=12",
    "archive.cells=32",
    "execution.executor=inline",
)


def small(*overrides: str) -> Config:
    """Configure the preset `smoke` on a still smaller scale."""
    return load("smoke", [*SMALL, *overrides])


def launched(out: Path, *overrides: str) -> Path:
    return launch(small(*overrides), out)


def copied(run: Path, place: Path) -> Path:
    return Path(shutil.copytree(run, place / run.name))


def older(run: Path) -> Path:
    """Let a run say that it is of the format before."""
    with sqlite3.connect(run / "journal.sqlite") as database:
        database.execute("UPDATE meta SET value = replace(value, '\"format\":2', '\"format\":1')")
    database.close()
    rechained(run)
    return run


def rechained(run: Path) -> str:
    """Make all digests of rounds fit the journal again, and give the last."""
    path = RunDirectory.open(run).journal_path
    with Journal.open(path, readonly=True) as journal:
        previous, by_round = journal.meta(BASE) or "", {}
        for round in journal.rounds():
            previous = by_round[round] = round_digest(previous, list(journal.events(round)))
    with sqlite3.connect(path) as database:
        database.executemany(
            "UPDATE round SET digest = ? WHERE round = ?", [(d, r) for r, d in by_round.items()]
        )
    database.close()
    return previous


def digests(run: Path) -> dict[int, str]:
    """Check the chain and give the digest of every round."""
    with RunDirectory.open(run).journal() as journal:
        journal.verify_chain()
        return journal.rounds()


def contents(run: Path) -> list[tuple[Any, ...]]:
    """Give cell, component, genome and objective of every elite."""
    elites = open_run(run).elites()
    return list(elites[["cell", "component", "genome", "objective"]].itertuples(index=False, name=None))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
