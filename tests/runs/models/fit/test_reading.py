from pathlib import Path

import pytest

from archive_store.strict_yaml import write
from runs import tasks
from runs.errors import ConfigError
from runs.models.architectures import build
from runs.models.config import TrainConfig
from runs.models.fit.reading import PRESETS, load, presets
from runs.models.options import ARCHITECTURES
from runs.models.signature import Signature


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_valid_builds_a_model_and_says_what_it_is(name):
    import torch

    config = load(name, ["data.examples=4"])
    assert config.run_name == name
    assert (PRESETS / f"{name}.yaml").read_text(encoding="utf-8").startswith("# ")
    signature = Signature.of(tasks.load(config.data))
    model = build(signature, config.model, torch.Generator().manual_seed(0))
    assert sum(each.numel() for each in model.parameters()) > 10_000


def test_every_architecture_has_a_preset():
    assert {load(name).model.kind for name in presets()} == set(ARCHITECTURES)


def test_a_configuration_reads_back_as_it_was_written(place):
    config = load("signals-large", ["seed=7", "data.kinds=[sine, spiral]"])
    Path("mine.yaml").write_text(write(config.model_dump(mode="json")))
    assert load("mine.yaml") == config
    assert (config.seed, config.data.kinds) == (7, ("sine", "spiral"))


def test_a_path_is_the_file_s_in_a_file_and_mine_in_an_override(place):
    Path("there").mkdir()
    Path("there/mine.yaml").write_text("data: {name: text, path: corpus.txt}\n")
    assert load("there/mine.yaml").data.path == str(place / "there" / "corpus.txt")
    assert load("there/mine.yaml", ["data.path=other.txt"]).data.path == str(place / "other.txt")


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["optm.lr_main=1"], r"optm: unknown key; did you mean optim\?"),
        (["optim.lr_man=1"], r"optim\.lr_man: unknown key; did you mean optim\.lr_main\?"),
        (["lr_main=1"], r"lr_main: unknown key; did you mean optim\.lr_main\?"),
        (["optim.lr_main=fast"], r'optim\.lr_main: must be a number, not "fast"'),
        (["optim.lr_main=0"], r"optim\.lr_main: must be more than 0, not 0"),
        (["optim.amp_dtype=bf61"], r"must be one of none, bf16 or fp16, not \"bf61\"; did you mean bf16\?"),
        (["sched.warmup_steps=9999"], r"sched: warmup_steps must be at most total_steps, 450, not 9999"),
        (["model.kind=towrs"], r"model\.kind: must be experts, .*did you mean towers\?"),
        (["run_name=a/b"], "run_name: must be 1 to 64 letters"),
        (["nonsense"], r"nonsense: an override is written key\.path=value"),
        (
            ["model.experts.block.moe.router.k=9"],
            r"model\.experts\.block\.moe\.router: k must be at most n_experts, 8",
        ),
        (["model=3"], r"model: must be a section with keys kind, experts"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(overrides, told):
    with pytest.raises(ConfigError, match=told):
        load("signals-small", overrides)


def test_every_problem_is_told_at_once():
    with pytest.raises(ConfigError, match="signals-small: 3 problems:") as caught:
        load("signals-small", ["seed=-1", "eval.every=0", "device=gpu"])
    assert [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]] == [
        "seed",
        "eval.every",
        "device",
    ]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("signals-smal", r"no preset and no file is called signals-smal; did you mean signals-small\?"),
        (".", r"\. is a directory; give a YAML file or a preset: digits-pseudopods"),
        ("list.yaml", r"must be a mapping such as .model: {kind: experts}."),
        ("twice.yaml", r"line 2: the key seed was already given in line 1"),
    ],
)
def test_what_is_no_configuration_is_told(source, told):
    Path("list.yaml").write_text("[1]\n")
    Path("twice.yaml").write_text("seed: 1\nseed: 2\n")
    with pytest.raises(ConfigError, match=told):
        load(source)


def test_names_of_a_file_and_of_a_training_are_checked_by_the_model_too():
    with pytest.raises(ValueError, match="must be 1 to 64 letters"):
        TrainConfig(run_name="..")
