"""Any bytes on disk give a value or one of our own errors, in one of the places where bytes are read."""

import json
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from archive_store.encoding import decode, decode_centroids, decode_genome, encode, encode_genome
from archive_store.errors import StoreError
from archive_store.journal.chain import numbered, round_digest
from archive_store.journal.dependents import uses
from archive_store.journal.journal import BASE, Journal, Timing
from archive_store.strict_yaml import read, write
from qd.canonical import plain as plain_json
from qd.canonical import written
from qd.records import Genome
from runs.config.presets import PRESETS
from runs.config.reader import load, read_config
from runs.config.schema import plain, to_yaml
from runs.errors import PlasmodiaError
from runs.rounds.ledger import Ledger
from runs.session import restore
from runs.training.state import decode_interface, decode_state
from tests.faults.fake_trainers import Play, calibration, ledger_config
from tests.faults.mutations import JSON, mutated_bytes, mutated_json
from tests.fixtures.small_runs import small
from tests.fixtures.small_worlds import calibrated_spec, calibrated_world

OUR_OWN = (PlasmodiaError, StoreError)
GENOME = Genome("pseudopods", 1, (("rank", 3.0), ("width", 4.0)), {"qk.U": np.ones((4, 3), np.float32)})
CENTROIDS = encode({"centroids": np.linspace(0, 1, 10).reshape(2, 5)}, {})
STATE = calibrated_spec().hosts[0]
HEADER = {
    "__metadata__": {"plasmodia": "{}"},
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "b": {"dtype": "I8", "shape": [], "data_offsets": [24, 25]},
}
PUNCTUATION = '"\\UuxX0f{[:,]}-&*!?|>%@` \n'


def harmless(act: Callable[..., Any], *arguments: Any) -> None:
    """Do something that may fail with an error of ours, on one line if it is about a file, and with no other."""
    with suppress(*OUR_OWN):
        act(*arguments)


class TestConfig:
    def harmless(self, data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "config.yaml"
            path.write_bytes(data)
            harmless(load, str(path))
            harmless(read_config, path)

    @given(data=st.binary(max_size=100) | st.text(max_size=100).map(lambda text: text.encode("utf-8")))
    def test_any_bytes(self, data):
        self.harmless(data)

    @given(
        data=st.sampled_from([path.read_bytes() for path in PRESETS.glob("*.yaml")]).flatmap(mutated_bytes)
    )
    def test_damaged_presets(self, data):
        self.harmless(data)

    @given(data=mutated_bytes(to_yaml(small()).encode()))
    def test_damaged_configurations_of_runs(self, data):
        self.harmless(data)

    @given(value=mutated_json(plain(small())))
    def test_configurations_with_another_value_somewhere(self, value):
        self.harmless(write(value).encode())

    @given(text=st.text(max_size=12), value=JSON)
    def test_overrides(self, text, value):
        for override in (text, f"organism.count={text}", f"task.path={text}", f"seed=[{text}"):
            harmless(load, "smoke", [override])
        harmless(load, "smoke", [], {"task.path": value, "execution.workers": value})

    @given(
        text=st.text(st.characters(codec="ascii"), max_size=40)
        | st.text(alphabet='"\\UuxX0f{[:,]}-&*!?|>%@` \n', max_size=40)
    )
    def test_any_yaml(self, text):
        harmless(read, text, "x")


class TestBlobs:
    def harmless(self, data: bytes) -> None:
        for reader in (decode, decode_genome, decode_centroids):
            harmless(reader, data)
        harmless(decode_state, calibrated_world(), data)
        harmless(decode_interface, data, calibrated_world().device)

    @given(data=st.binary(max_size=100))
    def test_any_bytes(self, data):
        self.harmless(data)

    @given(data=st.sampled_from([encode_genome(GENOME), CENTROIDS, STATE]).flatmap(mutated_bytes))
    def test_damaged_encodings(self, data):
        self.harmless(data)

    @given(header=mutated_json(HEADER))
    def test_headers_with_another_value_somewhere(self, header):
        text = json.dumps(header).encode()
        self.harmless(len(text).to_bytes(8, "little") + text + bytes(25))

    @given(meta=mutated_json({"depth": 1, "family": "pseudopods", "genes": [["rank", 3.0]]}) | JSON)
    def test_genomes_with_another_value_somewhere(self, meta):
        harmless(lambda: decode_genome(encode(GENOME.arrays, meta)))

    @given(meta=mutated_json(decode(STATE)[1]))
    def test_states_with_another_value_somewhere(self, meta):
        harmless(lambda: decode_state(calibrated_world(), encode(decode(STATE)[0], meta)))


@cache
def journal_file() -> bytes:
    """A finished journal whose rounds follow from one another."""
    play = Play(ledger_config()).to_the_end()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite"
        journal = Journal.create(path)
        journal.put_meta(BASE, "{}")
        digest = "{}"
        for round, items in enumerate(
            [(("calibration", {"interface": "0" * 64}),), *(r.items for r in play.rounds)]
        ):
            events = numbered(round, items)
            digest = round_digest(digest, events)
            states = {event.organism: event.value["state"] for event in events if event.kind == "census"}
            journal.write_round(round, events, states, [Timing(None, "wall", 1.0, "driver")], digest)
        journal.incident("2025-01-01T00:00:00+00:00", "retry", {})
        journal.finish()
        return path.read_bytes()


def read_all(journal: Journal) -> None:
    """Read a journal in every way, each of which may fail by itself."""
    harmless(journal.verify_chain)
    harmless(journal.verify_form)
    harmless(journal.meta, BASE)
    harmless(lambda: [event.value for event in journal.events()])
    harmless(
        lambda: (journal.rounds(), journal.digest(), journal.states(), journal.timings(), journal.incidents())
    )
    harmless(lambda: uses(journal, journal.last_round() or 0, finished=False))
    harmless(lambda: restore(Ledger(ledger_config(), calibration()), journal))


def opened_and_read(path: Path) -> None:
    with Journal.open(path, readonly=True) as journal:
        read_all(journal)


class TestJournals:
    def test_the_journal_that_is_damaged_below_was_whole(self, tmp_path):
        path = tmp_path / "journal.sqlite"
        path.write_bytes(journal_file())
        with Journal.open(path, readonly=True) as journal:
            journal.verify_chain()
            journal.verify_form()
            ledger = Ledger(ledger_config(), calibration())
            restore(ledger, journal)
            assert ledger.closed == ledger_config().rounds

    @given(data=st.binary(max_size=200) | st.deferred(lambda: mutated_bytes(journal_file())))
    def test_any_bytes_and_damaged_files(self, data):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "journal.sqlite"
            path.write_bytes(data)
            harmless(opened_and_read, path)

    @given(data=st.data())
    def test_rows_with_another_value_somewhere(self, data):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "journal.sqlite"
            path.write_bytes(journal_file())
            with sqlite3.connect(path) as database:
                rows = database.execute("SELECT rowid, body FROM event").fetchall()
                row, body = data.draw(st.sampled_from(rows))
                value = data.draw(mutated_json(json.loads(body)))
                text = data.draw(st.sampled_from([written(plain_json(value)), value, body[:-1], None]))
                column = data.draw(
                    st.sampled_from(["body", "body", "body", "mark", "kind", "organism", "seq"])
                )
                with suppress(sqlite3.Error, OverflowError, UnicodeEncodeError):
                    database.execute(f"UPDATE event SET {column} = ? WHERE rowid = ?", (text, row))
            database.close()
            harmless(opened_and_read, path)
