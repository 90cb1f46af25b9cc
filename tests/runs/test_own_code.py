"""What README shows of code of one's own is launched as it stands."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from archive_store.reading import open_run
from organisms.families import FAMILIES, Family
from runs.config.model import schema_of_all
from runs.config.reader import load
from runs.errors import ConfigError
from runs.replay import decisions, replay
from tests.fixtures.small_runs import launched
from tests.runs.test_cli import call

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def example(tmp_path, monkeypatch) -> list[str]:
    """Write README's module where Python finds it, and return the arguments of its launch."""
    text = README.read_text(encoding="utf-8")
    (source,) = re.findall(r"```python\n(# mine\.py\n.*?)```", text, re.DOTALL)
    (command,) = re.findall(r"\$ plasmodia launch (smoke --out out/mine (?:.*\\\n)*.*)\n", text)
    (tmp_path / "mine.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return shlex.split(command.replace("\\\n", " "))


def test_it_runs_with_its_own_options_and_measures(example):
    launched = call("launch", *example, "execution.executor=inline", "rounds=3", "--quiet")
    assert launched.exit_code == 0, launched.stderr
    run = open_run("out/mine")
    assert run.measures[1] == "written_norm"
    emitters = run.emitters()
    assert set(emitters["emitter"]) == {"gradient", "mine:bolder"}
    assert emitters[emitters["emitter"] == "mine:bolder"]["scored"].sum() > 0
    assert run.census()["test_score"].max() > 0.5, "it learns"
    assert set(run.records()["gene_window"]) <= {2.0, 3.0, 4.0}
    assert "reach: 4" in Path("out/mine/config.yaml").read_text()


def test_its_options_are_in_the_schema_and_checked(example):
    schema = call("schema", "--family", "mine:Nearsighted")
    assert '"reach": {' in schema.stdout
    given = [each for each in example if each not in ("--out", "out/mine")]
    wrong = call("validate", *given, "organism.nearsighted.raech=3")
    assert wrong.exit_code == 2
    assert "did you mean organism.nearsighted.reach?" in wrong.stderr


@pytest.mark.long
def test_a_built_in_family_is_a_line_of_the_table_and_files_of_its_own(example, monkeypatch, tmp_path):
    """Without any other change it is configured, described, checked, launched, replayed and read."""
    line = Family("mine:Nearsighted", "mine:NearsightedOptions")
    monkeypatch.setitem(FAMILIES, "nearsighted", line)
    kind = ("organism.kind=nearsighted", "organism.nearsighted.reach=2")
    run = launched(tmp_path / "run", *kind, "rounds=2")
    assert set(open_run(run).records()["gene_window"]) == {2.0}
    assert replay(run, None, {}) is None
    assert "nearsighted" in schema_of_all()["$defs"]["OrganismConfig"]["properties"]
    with pytest.raises(
        ConfigError, match=r"organism.nearsighted.raech: .* did you mean organism.nearsighted.reach\?"
    ):
        load("smoke", [*kind, "organism.nearsighted.raech=2"])
    with pytest.raises(
        ConfigError,
        match=r"organism.kind: must be pseudopods, experts, towers, flow, transformer, nearsighted or an import path",
    ):
        load("smoke", ["organism.kind=nearsight"])


@pytest.mark.long
def test_a_static_pool_keeps_its_founders(tmp_path):
    static = launched(tmp_path / "static", "births=none", "lifecycle.enabled=false", "lifecycle.min_age=0")
    records = open_run(static).records()
    counts = records.groupby("round")["component"].apply(frozenset)
    assert counts.nunique() == 1
    assert set(open_run(static).rounds()["phase"]) == {"static"}
    assert open_run(static).rounds()[["births", "deaths"]].to_numpy().sum() == 0
    assert decisions(static)[2] is None
