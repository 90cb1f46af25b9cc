"""What README shows of code of one's own is launched as it stands."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from archive_store.reading import open_run
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
    assert set(run.records()["gene_window"]) <= {2.0, 3.0, 4.0}
    assert "reach: 4" in Path("out/mine/config.yaml").read_text()


def test_its_options_are_in_the_schema_and_checked(example):
    schema = call("schema", "--family", "mine:Nearsighted")
    assert '"reach": {' in schema.stdout
    given = [each for each in example if each not in ("--out", "out/mine")]
    wrong = call("validate", *given, "organism.nearsighted.raech=3")
    assert wrong.exit_code == 2
    assert "did you mean organism.nearsighted.reach?" in wrong.stderr
