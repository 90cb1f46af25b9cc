"""Going on with a finished run: its elites as vectors, scored in its reference hosts."""

import json
from pathlib import Path

import numpy as np
import pytest

from analysis import pictures
from archive_store.reading import open_run
from runs.results.evaluator import Evaluator

NOTEBOOK = Path(pictures.__file__).parent / "notebooks" / "going_on.ipynb"


@pytest.fixture(scope="module")
def run(finished):
    return open_run(finished)


@pytest.fixture(scope="module")
def evaluator(run):
    return Evaluator(run)


def test_equal_genomes_have_equal_scores_whoever_else_is_scored(run, evaluator):
    genomes = [run.genome(digest) for digest in run.elites()["genome"][:3]]
    together, alone = (
        evaluator.evaluate(genomes),
        [evaluator.evaluate([genome]) for genome in reversed(genomes)],
    )
    for place, (objective, measures) in enumerate(reversed(alone)):
        assert objective[0] == pytest.approx(
            together[0][place], abs=1e-6
        )  # last bits may change beside others
        assert np.allclose(measures[0], together[1][place], atol=1e-6)


def test_a_genome_and_its_vector_score_the_same(run, evaluator):
    genome = run.genome(run.elites()["genome"][0])
    vector = evaluator.vector(genome)
    assert vector.shape == (evaluator.solution_dim,)
    for one, other in zip(evaluator.evaluate([genome]), evaluator.evaluate(vector[None]), strict=True):
        assert np.allclose(one, other, atol=1e-6)


def test_an_elite_has_the_objective_and_the_behaviour_of_the_journal(run, evaluator):
    """However it came into the archive: as a part of an organism, or as a child that an emitter made."""
    elites = run.elites()
    objectives, measures = evaluator.evaluate([run.genome(digest) for digest in elites["genome"]])
    np.testing.assert_allclose(objectives, elites["objective"], atol=1e-6)
    np.testing.assert_allclose(measures, elites[list(run.measures)], atol=1e-5)
    assert np.ptp(measures, axis=0).max() > 0.1


def test_an_archive_holds_the_elites_as_vectors(run, evaluator):
    archive = evaluator.archive()
    assert archive.solution_dim == evaluator.solution_dim
    assert 0 < archive.stats.num_elites <= len(run.elites())
    genome = evaluator.genome(archive.best_elite["solution"])
    assert evaluator.evaluate([genome])[0][0] == pytest.approx(archive.best_elite["objective"])
    assert evaluator.archive(1).stats.num_elites <= len(run.elites(1)) < len(run.elites())


def test_ten_rounds_of_ribs_emitters_in_the_notebook(undisturbed, monkeypatch, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "digits").symlink_to(undisturbed)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]).replace("batch_size=8", "batch_size=2"), names)
    assert len(names["history"]) == 11
    assert names["history"][-1] > names["history"][0]
    assert names["best"].family == "pseudopods"
