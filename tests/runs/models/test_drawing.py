"""The pictures of whatever keeps a model, and the dashboard that is drawn while a training goes on."""

import pytest
import torch

from runs.errors import ConfigError
from runs.models.drawing import drawn
from runs.models.fit import fit
from runs.models.fit.dashboard import SHARE, Live, draw
from runs.models.network import Padded
from runs.models.opening import checkpoint_of, module_of, open_model
from runs.models.signature import Signature
from runs.observability.fitting import FitProgress
from tests.fixtures.small_models import SEQUENCES, kept
from tests.fixtures.small_trainings import folder_of, small

PICTURES = ["predictions", "horizon", "spectra"]


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    config = small(tmp_path_factory.mktemp("out"), model__kind="transformer")
    fit(config)
    return config


def names(paths):
    return [path.name for path in paths]


def test_a_training_is_drawn_with_its_dashboard_and_its_best_checkpoint(training, tmp_path):
    folder = folder_of(training).path
    assert names(drawn(folder, to=tmp_path)) == [f"{name}.png" for name in ["dashboard", *PICTURES]]
    best = checkpoint_of(folder).path
    again = drawn(best, to=tmp_path / "best")
    assert names(again) == [f"{name}.png" for name in PICTURES]
    (path,) = drawn(folder, ["dashboard"], "svg", tmp_path)
    assert path.read_bytes().startswith(b"<?xml")


def test_the_same_pictures_are_drawn_each_time(training, tmp_path):
    folder = folder_of(training).path
    first, second = (drawn(folder, to=tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_pictures_lie_in_the_folder_or_beside_a_checkpoint(training):
    folder = folder_of(training).path
    (path,) = drawn(folder, ["spectra"])
    assert path == folder / "plots" / "spectra.png"
    best = checkpoint_of(folder).path
    (path,) = drawn(best, ["spectra"])
    assert path == best.with_name(f"{best.name}-plots") / "spectra.png"
    assert checkpoint_of(folder).path == best  # which is no checkpoint


def test_a_run_is_drawn_by_its_best_network(signals, tmp_path):
    assert names(drawn(signals, to=tmp_path)) == [f"{name}.png" for name in PICTURES]


@pytest.mark.parametrize(
    ("kinds", "format", "sentence"),
    [
        (["spectr"], "png", "no picture is called spectr; known are dashboard, .*did you mean spectra"),
        (["paths"], "png", "there is no picture paths of the task 'signals'"),
        (None, "pdf", "--format must be png or svg, not pdf"),
    ],
)
def test_what_cannot_be_drawn_is_refused(training, tmp_path, kinds, format, sentence):
    with pytest.raises(ConfigError, match=sentence):
        drawn(folder_of(training).path, kinds, format, tmp_path / "plots")
    assert not (tmp_path / "plots").exists()


def test_only_a_training_has_a_dashboard(tmp_path):
    with pytest.raises(ConfigError, match=r"only a training has a dashboard, and .* is a checkpoint"):
        drawn(kept(tmp_path / "model"), ["dashboard"])
    with pytest.raises(ConfigError, match="there is no picture of the task 'digits'"):
        drawn(tmp_path / "model")


def test_the_dashboard_is_drawn_again_after_evaluations_for_a_share_of_the_time(training, tmp_path):
    """A clock that goes on by a second each time that it is read: drawing seems to take one."""
    seconds = iter(range(1000))
    folder = folder_of(training)
    path = draw(folder, training, "R2")
    live = Live(folder, training, lambda: float(next(seconds)))

    def drew(loss):
        path.unlink(missing_ok=True)
        live(FitProgress("small", validation_loss=loss))
        return path.exists()

    assert not drew(None)
    assert drew(1.0)
    waited = 0
    while not drew(0.5 - waited / 1e3):
        waited += 1
    assert waited == pytest.approx(1 / SHARE, abs=2)
    assert not drew(0.5 - waited / 1e3)  # nothing new was evaluated


class Sums(torch.nn.Module):
    """The running sum, of sequences of one length alone."""

    def forward(self, tokens):
        assert tokens.shape[1] == SEQUENCES.length
        return tokens.cumsum(1)


def test_a_causal_model_of_one_length_reads_shorter_sequences():
    model, x = Padded(Sums(), SEQUENCES), torch.arange(6.0).reshape(2, 3, 1)
    found, metrics = model(x)
    assert torch.equal(found, x.cumsum(1))
    assert metrics == {}
    with pytest.raises(
        ValueError, match="sequences must have at most 7 tokens, as those that this model was trained"
    ):
        model(torch.zeros(1, 8, 1))


def test_another_reads_its_own_length_alone():
    values = Signature("values", "value", "continuous", 1, 1, 7, False)
    model = Padded(Sums(), values)
    assert model(torch.ones(1, 7, 1))[0].shape == (1, 7, 1)
    with pytest.raises(ValueError, match=r"sequences must have 7 tokens, .*, not 3"):
        model(torch.ones(1, 3, 1))


def test_a_run_is_a_module_like_any_model(signals):
    module, signature, digest, lengths = module_of(signals)
    opened = open_model(signals)
    assert (signature, digest, lengths) == (opened.signature, opened.description["digest"], opened.lengths)
    tokens = torch.randn(2, signature.length, signature.features, generator=torch.Generator().manual_seed(0))
    whole, _ = module(tokens)
    assert torch.equal(whole, opened.model(tokens))
    part, _ = module(tokens[:, :5])
    torch.testing.assert_close(part, whole[:, :5], rtol=1e-5, atol=1e-6)
