from dataclasses import replace

import numpy as np
import pytest
import torch

from archive_store.encoding import decode, encode
from archive_store.reading import open_run
from organisms.nn import score
from runs.errors import RunError
from runs.models import networks
from runs.models.networks import Ensemble, best_model, best_state, ensemble, organism_model, rebuilt
from runs.models.predicting import predict
from runs.results.best import organism_of
from runs.training.census import outputs
from tests.fixtures.small_runs import copied


def wanted(run, state):
    world = rebuilt(run)
    with torch.no_grad():
        return outputs(world, organism_of(run, world, state), world.test).numpy()


def test_the_best_network_answers_as_the_run_had_it(finished):
    run = open_run(finished)
    model, task = best_model(run), rebuilt(run).task
    assert not model.training
    assert np.allclose(predict(model, task.test.inputs), wanted(run, best_state(run)), rtol=0, atol=1e-5)


def test_its_score_is_the_one_that_the_run_reports(signals):
    run = open_run(signals)
    world, state, census = rebuilt(run), best_state(run), run.census()
    found = torch.from_numpy(predict(best_model(run), world.task.test.inputs))
    row = census[(census["organism"] == state.organism) & (census["round"] == state.round)].iloc[0]
    assert score(world.task, found, world.test.targets) == pytest.approx(row["test_score"], abs=1e-6)


def test_any_organism_can_be_had_at_any_round_that_is_kept(signals):
    run = open_run(signals)
    test = rebuilt(run).task.test.inputs
    states = networks.kept_states(run)
    assert {state.organism for state in states} == {0, 1}
    for state in states:
        found = predict(organism_model(run, state.organism, state.round), test)
        assert np.allclose(found, wanted(run, state), rtol=0, atol=1e-5)
    last = max(state.round for state in states)
    assert np.array_equal(predict(organism_model(run, 1), test), predict(organism_model(run, 1, last), test))


@pytest.mark.parametrize(
    ("organism", "round", "said"),
    [(7, None, "keeps no organism 7; it keeps rounds"), (0, 1, "keeps no organism 0 at round 1; it keeps")],
)
def test_an_organism_that_is_not_kept_is_refused(signals, organism, round, said):
    with pytest.raises(RunError, match=said):
        organism_model(open_run(signals), organism, round)


def stored_otherwise(run, change):
    """Return the best state with its arrays and description changed, and the blob there."""
    state = best_state(run)
    arrays, described = decode(run.directory.blobs.get(state.digest))
    change(arrays, described)
    return replace(state, digest=run.directory.blobs.put(encode(arrays, described)))


def test_weights_of_other_shapes_than_the_configuration_says_are_refused(finished, tmp_path, monkeypatch):
    run = open_run(copied(finished, tmp_path / "run"))

    def wider(arrays, described):
        name = next(name for name, array in arrays.items() if array.ndim > 1)
        arrays[name] = np.concatenate([arrays[name], arrays[name]], -1)

    def of_gene(number):
        def change(arrays, described):
            occupant = next(each for each in described["occupants"] if each)
            (name, value), *others = occupant["genes"]
            occupant["genes"] = [(name, number(value)), *others]

        return change

    fits = r"the weights of organism \d do not fit the configuration: gene '\w+' in slot \d of layer \d must be a "
    for change, said in (
        (wider, "state tensor .* must be"),
        (of_gene(lambda value: value + 0.5), fits + r"whole number from \d to \d+, but is \d\.5; restore"),
        (of_gene(lambda value: value + 1000.0), fits + r"whole number from \d to \d+, but is 100\d; restore"),
    ):
        state = stored_otherwise(run, change)
        monkeypatch.setattr(networks, "best_state", lambda run, state=state: state)
        with pytest.raises(RunError, match=said):
            best_model(run)


def test_an_ensemble_of_real_numbers_is_the_mean_of_its_networks(signals):
    run = open_run(signals)
    test = rebuilt(run).task.test.inputs
    each = [predict(organism_model(run, number), test) for number in (0, 1)]
    assert np.allclose(predict(ensemble(run), test), np.mean(each, 0), rtol=0, atol=1e-6)


def test_an_ensemble_of_classes_gives_the_mean_of_their_probabilities():
    generator = torch.Generator().manual_seed(0)
    models = [torch.nn.Linear(3, 4) for _ in range(3)]
    for model in models:
        for each in model.parameters():
            torch.nn.init.normal_(each, generator=generator)
    x = torch.randn(5, 3, generator=generator)
    found = Ensemble(models, regression=False)(x).softmax(-1)
    assert torch.allclose(found, torch.stack([model(x).softmax(-1) for model in models]).mean(0))


def test_rounds_that_are_not_kept_are_refused(signals):
    run = open_run(signals)
    with pytest.raises(RunError, match="keeps no organism of round 1; it keeps rounds"):
        ensemble(run, [1])
    with pytest.raises(RunError, match="keeps no organism, as no round is asked for"):
        ensemble(run, [])


def test_an_ensemble_of_nothing_is_refused():
    with pytest.raises(ValueError, match="models must be at least one network"):
        Ensemble([], regression=True)


def test_a_run_that_keeps_no_network_yet_says_so(signals, monkeypatch):
    monkeypatch.setattr(networks, "newest", lambda run: None)
    with pytest.raises(RunError, match="keeps no network with a score yet"):
        best_model(open_run(signals))
    monkeypatch.setattr(networks, "kept_states", lambda run: [])
    with pytest.raises(RunError, match="no state is kept yet"):
        organism_model(open_run(signals), 0)
