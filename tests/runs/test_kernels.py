"""What computes a run's products, attention and ranks is chosen by its configuration."""

from copy import deepcopy

import pytest

from archive_store.reading import open_run
from kernels.own_kernel import METHODS
from runs.config.reader import load, read_config
from runs.config.schema import scientific, to_yaml
from runs.errors import ConfigError, RunError
from runs.prepared import prepare, users_own
from runs.training.births.newborns import founder
from runs.training.build import build
from runs.training.optimise import batches, learning_rate, train
from runs.training.world import WorldSpec
from tests.fixtures import own_kernels
from tests.fixtures.small_runs import STREAM, digests, launched, small
from tests.fixtures.small_worlds import calibrated_spec
from tests.runs.test_cli import call

KEY = "organism.pseudopods.kernel"
OWN = "tests.fixtures.own_kernels"


@pytest.mark.parametrize("task", [(), STREAM], ids=["digits", "stream"])
def test_every_path_gives_the_same_measures_and_losses_but_for_roundings(tmp_path, task):
    short = (*task, "rounds=1")
    usual, defined = (
        open_run(launched(tmp_path / kernel, f"{KEY}={kernel}", *short)) for kernel in ("auto", "reference")
    )
    assert digests(usual.directory.path) != digests(defined.directory.path), "the digest covers the key"
    losses = ["loss", "probe_loss", "validation_loss"]
    for frame, columns in (("census", losses), ("records", [*usual.measures, "assay", "ablation"])):
        found, wanted = (getattr(run, frame)()[columns].to_numpy() for run in (defined, usual))
        assert len(wanted) > 0
        assert found == pytest.approx(wanted, rel=1e-3, abs=1e-4)


def test_a_kernel_of_ones_own_trains_and_measures(tmp_path):
    own_kernels.CALLS.clear()
    measures = "measures=[attention_span, neighbour_coherence, gradient_flow]"
    run = open_run(launched(tmp_path / "run", f"{KEY}={OWN}:Counting", "rounds=1", measures))
    assert len(run.records()) > 0
    assert {name for name, count in own_kernels.CALLS.items() if count} == set(METHODS)


def test_training_probe_and_assay_each_call_it():
    spec = calibrated_spec()
    values = deepcopy(spec.config)
    values["organism"]["pseudopods"]["kernel"] = f"{OWN}:Counting"
    world = build(WorldSpec(values, interface=spec.interface, hosts=spec.hosts))
    individual, steps = founder(world, 0), 2

    def of(action):
        own_kernels.CALLS.clear()
        action()
        return own_kernels.CALLS["attention"] + own_kernels.CALLS["observed"]

    assert of(lambda: train(world, individual, batches(world, 0, 1, steps), learning_rate(world, 9))) >= steps
    probe, targets = world.probe.inputs, world.probe.targets
    assert of(lambda: world.species.probe(individual.organism, probe, targets)) >= 1
    assert of(lambda: world.species.assay(individual.organism, world.hosts)) >= 1


def test_its_source_is_part_of_the_run():
    prepared = prepare(small(f"{KEY}={OWN}:Attentive"))
    assert "tests" in prepared.modules
    assert "tests" in prepared.fingerprint["user"]


def test_so_is_that_of_a_family_that_is_derived_from_pseudopods(tmp_path):
    """Also where a configuration is read without its family, as when a run is resumed."""
    kind = f"organism.kind={OWN}:Nearsighted"
    config = load("smoke", [kind, f"organism.nearsighted.kernel={OWN}:Attentive"])
    written = tmp_path / "config.yaml"
    written.write_text(to_yaml(config))
    for each in (config, read_config(written)):
        assert ("organism.nearsighted.kernel", f"{OWN}:Attentive") in users_own(each)


def test_digests_of_runs_that_do_not_choose_stay():
    assert "kernel" not in scientific(small())["organism"]["pseudopods"]
    assert scientific(small(f"{KEY}=torch"))["organism"]["pseudopods"]["kernel"] == "torch"


def test_one_that_returns_a_wrong_shape_ends_the_launch_by_name(tmp_path):
    with pytest.raises(
        RunError, match=rf"kernel {OWN}:Narrow: attention must return a tensor \[.*\] on cpu, but returned \["
    ):
        launched(tmp_path / "run", f"{KEY}={OWN}:Narrow")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (
            "refrence",
            f"{KEY}: must be auto, reference, torch, triton or an import path .*; did you mean 'reference'",
        ),
        ("triton", f"{KEY}: must be auto, .* on execution.device cpu, because triton needs a GPU"),
        (f"{OWN}:Attentiv", f"{KEY} is '{OWN}:Attentiv', but .* has no 'Attentiv'; did you mean Attentive"),
        (
            f"{OWN}:Absent",
            f"{KEY} is '{OWN}:Absent', which cannot be used: kernel must be auto, .* a Absent$",
        ),
        (f"{OWN}:NUMBER", f"{KEY} is .*, but is a Tensor$"),
        (f"{OWN}:Unmade", f"{KEY} is .*, which cannot be used: no division$"),
        ("nowhere:Kernel", f"{KEY} is 'nowhere:Kernel', but there is no module 'nowhere'"),
    ],
)
def test_kernels_that_cannot_be_are_refused_in_one_sentence(kernel, message):
    with pytest.raises(ConfigError, match=message):
        prepare(small(f"{KEY}={kernel}"))


def test_the_key_is_described_and_validated():
    assert "kernels.kernel.Kernel" in call("schema").stdout
    wrong = call("validate", "smoke", f"{KEY}=tritn")
    assert wrong.exit_code == 2
    assert "did you mean 'triton'" in wrong.stderr
