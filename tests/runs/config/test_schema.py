import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from archive_store.strict_yaml import read
from organisms.families import FAMILIES
from qd.measures import MEASURES
from runs.config import problems
from runs.config.model import configured, model_of, options_of, schema_of_all
from runs.config.own import schema_of
from runs.config.presets import presets
from runs.config.problems import paths
from runs.config.reader import checked, execution_changes, load, read_config
from runs.config.schema import plain, scientific, to_yaml
from runs.errors import ConfigError

ROOT = Path(__file__).parents[3]


def said(values):
    """Give all problems of plain values as one text each."""
    config, found = checked(values)
    assert (config is None) == bool(found)
    return [str(problem) for problem in found]


def source(**changes):
    """Give a place to search near, as a configuration has it."""
    return {"behavior": [0.5] * 5, "concentration": 0.5} | changes


def searching(*sources):
    return {"chemotaxis": {"kind": "sources", "sources": list(sources)}}


def file(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return str(path)


def test_the_presets_are_the_ones_that_are_promised_and_valid():
    tasks = ["digits", "parity", "signals", "sine", "text", "trajectories", "xor"]
    others = {f"{task}-experts": "experts" for task in ("digits", "signals", "text", "trajectories")}
    for kind in ("towers", "flow"):
        others |= {f"{task}-{kind}": kind for task in ("digits", "signals", "text")}
    named_otherwise = {"smoke": "digits", "stream": "recall"}
    assert presets() == sorted([*tasks, *others, *named_otherwise])
    for name in presets():
        config = load(name)
        assert config.name == name
        assert config.task.name == named_otherwise.get(name, name.partition("-")[0])
        assert config.organism.kind == others.get(name, "pseudopods")


def test_a_configuration_is_frozen():
    with pytest.raises(ValidationError, match=r"frozen"):
        configured({}).seed = 1


@pytest.mark.parametrize("family", FAMILIES)
def test_every_key_is_described(family):
    schema = schema_of(family)
    models = [schema, *schema["$defs"].values()]
    leaves = [entry for model in models for entry in model["properties"].values() if "$ref" not in entry]
    assert len(leaves) == len(list(paths(model_of(family, options_of(family)))))
    assert all(entry.get("description") for entry in leaves)


def test_the_schema_of_all_has_the_options_of_every_family():
    schema = schema_of_all()
    assert FAMILIES.keys() < schema["$defs"]["OrganismConfig"]["properties"].keys()
    for family in FAMILIES:
        name = options_of(family).__name__
        assert schema["$defs"][name]["properties"] == schema_of(family)["$defs"][name]["properties"]


def test_the_schema_uses_the_keys_of_the_file():
    calibration = schema_of_all()["$defs"]["CalibrationConfig"]["properties"]
    assert "from" in calibration
    assert "from_run" not in calibration


configs = st.builds(
    lambda **top: configured(top),
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True),
    seed=st.integers(0, 2**63 - 1),
    rounds=st.integers(1, 1000),
    lag=st.integers(0, 5),
    births=st.sampled_from(["archive", "random", "genes", "clone", "none"]),
    training=st.fixed_dictionaries({"learning_rate": st.floats(1e-12, 1.0), "clip": st.floats(0.1, 1e300)}),
    calibration=st.fixed_dictionaries({"from": st.none() | st.text(min_size=1, max_size=10)}),
    execution=st.fixed_dictionaries({"workers": st.just("auto") | st.integers(1, 64)}),
    validity=st.fixed_dictionaries({"gate": st.sampled_from(["robust", "blueprint", "off"])}),
)


@given(configs)
def test_a_configuration_survives_yaml_and_json(config):
    assert checked(read(to_yaml(config), "x").value) == (config, [])
    assert checked(json.loads(json.dumps(plain(config)))) == (config, [])


def test_what_is_written_can_be_launched_again(tmp_path):
    config = load("smoke", ["seed=7", "name=1e3x"])
    assert load(file(tmp_path, to_yaml(config))) == config


def test_everything_that_is_wrong_is_reported_at_once():
    values = {
        "seed": "abc",
        "nam": 3,
        "name": "..",
        "task": {"name": "digit"},
        "organism": {"capacity": 4, "depth": 1.0, "pseudopods": {"max_window": 0}, "kind": "pseudopod"},
        "training": {"batch": True, "learning_rate": float("nan")},
        "calibration": {"checkpoints": [0.5, "x"], "from_run": "a"},
        "archive": 5,
        "births": "archiv",
        "execution": {"workers": 0, "executor": "rya"},
        "objective": {"task": 0.9},
    }
    starts = [
        "name: must be 1 to 64 letters",
        'seed: must be an integer, not "abc"',
        'births: must be one of archive, random, genes, clone or none, not "archiv"; did you mean archive?',
        "task.name: must be digits, text, tinystories, wikitext, table, signals, recall, trajectories, sine, xor, "
        'parity or an import path package.module:Name, not "digit"; did you mean digits?',
        "organism.kind: must be pseudopods, experts, towers, flow, transformer or an import path package.module:Name, "
        'not "pseudopod"; did you mean pseudopods?',
        "organism.depth: must be an integer, not 1.0",
        "organism.pseudopods.max_window: must be at least 1, not 0",
        "training.batch: must be an integer, not true",
        "training.learning_rate: must be a finite number, not NaN",
        'calibration.checkpoints[1]: must be a number, not "x"',
        "calibration.from_run: unknown key; did you mean calibration.from? known here: steps",
        "archive: must be a section with keys cells, centroids, rescore_every, qd_offset, not 5",
        'execution.executor: must be one of ray or inline, not "rya"; did you mean ray?',
        "execution.workers: must be at least 1 or auto, not 0",
        "nam: unknown key; did you mean name? known here: name, seed",
        "organism.capacity: must be at least organism.initial (8), not 4",
        "objective.task: the weights task, efficiency and gradient must sum to 1, not 0.9 + 0.2 + 0.1 = 1.2",
    ]
    found = said(values)
    assert len(found) == len(starts)
    for problem, start in zip(found, starts, strict=True):
        assert problem.startswith(start)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"organism": {"capacity": 7}}, r"organism.capacity: must be at least organism.initial \(8\), not 7"),
        ({"organism": {"capacity": 22, "depth": 3}}, "at most 64 slots, not 22 x 3 = 66"),
        (
            {"organism": {"pseudopods": {"min_temperature": 3.0}}},
            r"organism.pseudopods.min_temperature: must be at most .* \(2\), not 3",
        ),
        (
            {"organism": {"kind": "experts", "experts": {"max_rank": 33}}},
            r"organism.experts.max_hidden: must be at least max_rank \(33\), not 32",
        ),
        (
            {"organism": {"kind": "experts", "experts": {"experts_per_token": 13}}},
            r"organism.experts.experts_per_token: must be at most organism.capacity \(12\), not 13",
        ),
        (
            {"organism": {"kind": "experts", "experts": {"balance": -0.1}}},
            "organism.experts.balance: must be at least 0, not -0.1",
        ),
        (
            {"organism": {"pseudopods": {"max_window": 0}}},
            "organism.pseudopods.max_window: must be at least 1, not 0",
        ),
        (
            {"lifecycle": {"strengths": [0]}},
            r"^lifecycle.strengths\[0\]: must be more than 0, not 0$",
        ),
        ({"lifecycle": {"strengths": []}}, r"lifecycle.strengths: must be a list of at least 1, not \[\]"),
        (
            {"organism": {"max_window": 3}},
            r"organism.max_window: unknown key; did you mean organism.pseudopods.max_window\?",
        ),
        (
            {"organism": {"experts": {"balance": 0.1}}},
            r"organism.experts: holds the options of a family .*, or set organism.kind: experts$",
        ),
        (
            {"organism": {"kind": "experts", "experts": {"balanc": 0.1}}},
            r"organism.experts.balanc: unknown key; did you mean organism.experts.balance\? known here: max_rank",
        ),
        (
            {"organism": {"expert": {"balance": 0.1}}},
            r"organism.expert: unknown key; did you mean organism.experts\?",
        ),
        ({"lifecycle": {"enabled": "no"}}, 'lifecycle.enabled: must be true or false, not "no"'),
        (
            {"organism": {"kind": "mine:Towers", "count": {"x": 3}}},
            r'organism.count: must be an integer, not {"x": 3}',
        ),
        (
            {"lifecycle": {"enabled": False}},
            "births: must be none where lifecycle.enabled is false, .* not archive",
        ),
        (
            {"births": "none", "lifecycle": {"enabled": False, "budget_bytes": 9}},
            "lifecycle.budget_bytes: must be null where lifecycle.enabled is false, .* not 9",
        ),
        (
            {
                "births": "none",
                "lifecycle": {"enabled": False, "memory_budget": 9},
                "organism": {"pseudopods": {"compact": True}},
            },
            "lifecycle.memory_budget: must be null where lifecycle.enabled is false, .* not 9",
        ),
        (
            {"lifecycle": {"memory_budget": 0}},
            "lifecycle.memory_budget: must be",
        ),
        (
            {"lifecycle": {"memory_budget": 9}},
            "organism.pseudopods.compact: must be true where lifecycle.memory_budget is set",
        ),
        ({"chemotaxis": {"window": 0}}, "chemotaxis.window: must be at least 1, not 0"),
        (
            {"chemotaxis": {"kind": "source"}},
            "chemotaxis.kind: must be one of rule, .*; did you mean sources",
        ),
        (
            {"chemotaxis": {"sources": [source()]}},
            "chemotaxis.sources: are of kind sources, which .*, rule, is not; set chemotaxis.kind: sources",
        ),
        (searching(source(behavior=[0.5, 0.5])), r"sources\[0\].behavior: must be 5 numbers, .*, not 2"),
        (
            searching(source(), source(behavior=[2.0])),
            r"sources\[1\].behavior\[0\]: must be at most 1, not 2",
        ),
        (searching(source(concentration=-1)), r"sources\[0\].concentration: must be at least 0, not -1"),
        (searching(source(concentration=math.inf)), "concentration: must be a finite number, not Infinity"),
        (searching({"behavior": [0.5] * 5}), r"chemotaxis.sources\[0\].concentration: must be given"),
        (searching(source(at=1)), r"sources\[0\].at: unknown key; known here: behavior, concentration"),
        (searching(1), r"sources\[0\]: must be a section with keys behavior, concentration, not 1"),
        (
            {"lifecycle": {"min_alive": 9}},
            r"lifecycle.min_alive: must be at most organism.initial \(8\), not 9",
        ),
        (
            {"lifecycle": {"warmup": 0.5}},
            r"lifecycle.warmup: must be at most lifecycle.gentle \(0.25\), not 0.5",
        ),
        (
            {"calibration": {"hosts": 8}},
            r"calibration.hosts: must be less than calibration.organisms \(8\), not 8",
        ),
        ({"calibration": {"hosts": 2}}, "calibration.hosts: must be at least 3, not 2"),
        ({"calibration": {"steps": 10}}, "calibration.steps: must be large enough .* 10 x 0.05 is 0.5"),
        ({"calibration": {"checkpoints": [0.5, 0.5]}}, "must rise from each to the next, not .0.5, 0.5."),
        ({"calibration": {"checkpoints": []}}, "calibration.checkpoints: must be a list of at least 1, not"),
        ({"archive": {"cells": 1001}}, "archive.cells: must be at most 1000, not 1001"),
        (
            {"archive": {"centroids": "kmean"}},
            "archive.centroids: must be halton, kmeans, annealed or .* mean kmeans",
        ),
        (
            {"archive": {"centroids": "annealed", "cells": 26}},
            "archive.cells: annealed needs 10 samples a cell, .* gives 256 for 26 cells; use at most 25",
        ),
        ({"training": {"batch": 0}}, "training.batch: must be at least 1, not 0"),
        ({"training": {"learning_rate": 0}}, "training.learning_rate: must be more than 0, not 0"),
        ({"training": {"ema": 1.0}}, "training.ema: must be less than 1, not 1.0"),
        ({"rounds": 10**8}, "rounds: times training.steps_per_round must be at most 100,000,000"),
        ({"seed": -1}, "seed: must be at least 0, not -1"),
        ({"seed": 2**63}, "seed: must be less than 9223372036854775808"),
        ({"annealing": {"floor": 1.0}}, r"annealing.floor: must be at most annealing.start \(0.5\), not 1"),
        (
            {"annealing": {"kind": "geometric", "floor": 0}},
            "annealing.floor: must be more than 0 for a geometric",
        ),
        ({"annealing": {"kind": "liner"}}, "annealing.kind: .* did you mean linear"),
        (
            {"task": {"path": "a.txt"}},
            "task.path: only the tasks text, tinystories, wikitext, table read a file, digits does not",
        ),
        ({"task": {"name": "a.b:1c"}}, "task.name: must be digits"),
        ({"execution": {"device": "cuda"}}, "execution.num_gpus: must be more than 0 for device cuda"),
        ({"execution": {"address": "ray:/x"}}, "execution.address: must be local, auto, ray://host:port"),
        ({"name": 12}, "name: must be text .* needs quotes"),
        ({"name": "a..b"}, "name: .* hold no '..'"),
        ({"name": "a/b"}, "name: must be 1 to 64 letters"),
        ({"name": None}, "name: must be text .*, not null"),
        ({"capacity": 12}, "capacity: unknown key; did you mean organism.capacity"),
        ({"organism.capacity": 12}, '"organism.capacity": a dotted key belongs on the command line'),
        ({"zzzz": 12}, "zzzz: unknown key; known here: name, seed"),
        ({"a\x1b[31m": 1}, r'^"a\\u001b\[31m": unknown key'),
        (
            {"measures": [*MEASURES[:4], "gradient_flow"]},
            "measures: must be measures of different names, not gradient_flow and gradient_flow; rename",
        ),
        (
            {"measures": [*MEASURES[:3], "mine:norm", "their.module:norm"]},
            "measures: must be measures of different names, not mine:norm and their.module:norm; rename",
        ),
        *[
            (
                {"measures": [*MEASURES[1:], path]},
                f"measures: must not be called like a built-in .* the run's frames, as {path} is; rename it",
            )
            for path in ("mine:attention_span", "mine:objective", "mine:assay", "mine:gene_rank")
        ],
        *[
            (
                {"measures": [f"mine:m{number}" for number in range(count)]},
                f"^measures: must be a list of 2 to 8 measures, not of {count}$",
            )
            for count in (0, 1, 9)
        ],
        ({"measures": "norm"}, "measures: must be a list, not"),
        (
            {"measures": [*MEASURES[:4], "efective_rank"]},
            '^measures: must be attention_span, .*not "efective_rank"; did you mean effective_rank',
        ),
        ({"measures": [*MEASURES[:4], "mine:effective_rank"]}, "must not be called like a built-in measure"),
        ({"rounds": "x" * 500}, r"not .{57}\.\.\.$"),
    ],
)
def test_an_impossible_value_is_named_with_what_would_be_right(values, message):
    (problem,) = said(values)
    assert re.search(message, problem)


def test_options_of_a_family_that_is_not_imported_are_taken_as_they_are():
    organism = {"kind": "mine:Towers", "towers": {"height": 3, "floors": [1, 2]}}
    config, found = checked({"organism": organism})
    assert found == []
    assert plain(config)["organism"].items() >= organism.items()
    assert config.options.model_dump() == {"height": 3, "floors": [1, 2]}
    (problem,) = said({"organism": organism | {"colour": "red"}})
    assert problem.startswith("organism.colour: unknown key")


def test_a_familys_traits_are_defaults_of_calibration():
    for family in FAMILIES:
        config, traits = configured({"organism": {"kind": family}}), options_of(family).traits
        calibration = config.calibration
        assert (calibration.steps, calibration.host_share) == (traits.interface_steps, traits.host_share)
    assert configured({"organism": {"kind": "experts"}, "calibration": {"steps": 70}}).calibration.steps == 70


class TestOwnFamily:
    """A family of the user's, which brings options of its own."""

    @pytest.fixture(autouse=True)
    def mine(self, tmp_path, monkeypatch):
        source = (
            "from organisms.options import BrokenRule, Traits\n"
            "from organisms.pseudopods.species import PseudopodOptions, Pseudopods\n"
            "class Options(PseudopodOptions):\n"
            "    traits = Traits(gate='adds', assay='use', host_share=0.5, interface_steps=70)\n"
            "    reach: int = 3\n"
            "    'How far one sees.'\n"
            "    def broken_rules(self, sizes):\n"
            "        yield from super().broken_rules(sizes)\n"
            "        if self.reach > sizes.capacity:\n"
            "            yield BrokenRule(('reach', 'organism.capacity'), f'must be less, not {self.reach}')\n"
            "class Near(Pseudopods):\n"
            "    family, options = 'near', Options\n"
            "def nothing(task, sizes, options): ...\n"
            "class Taken(Near):\n"
            "    family = 'dim'\n"
            "class Asking(Options):\n"
            "    height: int\n"
            "class Tall(Near):\n"
            "    options = Asking\n"
            "class Failing(Options):\n"
            "    def broken_rules(self, sizes):\n"
            "        return 1 / 0\n"
            "class Broken(Near):\n"
            "    options = Failing\n"
            "class Keyless(Near):\n"
            "    class options(Options):\n"
            "        def broken_rules(self, sizes):\n"
            "            yield BrokenRule((), 'must be else')\n"
            "class Texts(Near):\n"
            "    class options(Options):\n"
            "        def broken_rules(self, sizes):\n"
            "            yield 'nonsense'\n"
            "class Traitless(Near):\n"
            "    class options(Options):\n"
            "        traits = 5\n"
            "class Opaque(Near):\n"
            "    class options(Options):\n"
            "        thing: object = object()\n"
            "class Mistyped(Near):\n"
            "    class options(Options):\n"
            "        height: int = 'two'\n"
            "class Private(Near):\n"
            "    family = '_near'\n"
            "class Sized(Near):\n"
            "    family = 'sizes'\n"
            "class Experts(Near):\n"
            "    family = 'experts'\n"
        )
        (tmp_path / "own_family.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)

    def test_they_are_checked_and_completed(self):
        config = load("digits", ["organism.kind=own_family:Near", "organism.near.max_rank=5"])
        assert (config.options.reach, config.options.max_rank) == (3, 5)
        assert (config.calibration.steps, config.calibration.host_share) == (70, 0.5)
        assert configured(plain(config)).options.model_dump() == config.options.model_dump()

    @pytest.mark.parametrize(
        ("override", "message"),
        [
            (
                "organism.near.raech=4",
                r"organism.near.raech: unknown key; did you mean organism.near.reach\?",
            ),
            ("organism.near.reach=x", 'organism.near.reach: must be an integer, not "x"'),
            ("organism.near.reach=99", "organism.near.reach: must be less, not 99"),
            ("organism.near.max_temperature=0.1", r"organism.near.min_temperature: must be at most"),
            ("organism.pseudopods.max_rank=4", "organism.pseudopods: holds the options of a family that"),
        ],
    )
    def test_what_is_wrong_with_them_is_said(self, override, message):
        with pytest.raises(ConfigError, match=message):
            load("digits", ["organism.kind=own_family:Near", override])

    @pytest.mark.parametrize("name", ["nothing", "Options", "Absent"])
    def test_what_is_no_family_is_refused(self, name):
        with pytest.raises(ConfigError, match=r"organism.kind: is 'own_family:"):
            load("digits", [f"organism.kind=own_family:{name}"])
        assert load("digits", [f"organism.kind=own_family:{name}"], import_own=False).family is None

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("Taken", "whose name 'dim' cannot be that of a section"),
            ("Tall", "whose option 'height' has no default; every option needs one"),
            ("Private", "whose name '_near' cannot be that of a section"),
            ("Sized", "whose name 'sizes' cannot be that of a section"),
            ("Experts", "which calls itself 'experts' as a built-in family with other options does"),
            ("Traitless", "whose options have traits that are no organisms.options.Traits"),
            ("Opaque", "whose options cannot be written and read with their defaults: "),
            ("Mistyped", "whose options cannot be written and read with their defaults: "),
            ("Keyless", r"organism.kind: checking .* a broken rule is a tuple of keys and a sentence, not"),
            ("Texts", r"organism.kind: checking the rules of its options raised ValueError: too many values"),
            ("Broken", r"organism.kind: checking .* raised ZeroDivisionError: .* \(own_family.py, line"),
        ],
    )
    def test_what_a_configuration_cannot_hold_is_refused(self, name, message):
        with pytest.raises(ConfigError, match=message):
            load("digits", [f"organism.kind=own_family:{name}"])

    def test_its_schema_has_them(self):
        near = schema_of("own_family:Near")["$defs"]["Options"]["properties"]
        assert near["reach"] == {
            "default": 3,
            "description": "How far one sees.",
            "title": "Reach",
            "type": "integer",
        }
        with pytest.raises(ConfigError, match=r"--family must be .* did you mean experts\?"):
            schema_of("expert")


def test_another_family_on_the_command_line_leaves_the_files_own_options_out():
    assert load("signals").options.max_window == 8
    assert load("signals", ["organism.kind=pseudopods"]).options.max_window == 8
    config = load("signals", ["organism.kind=experts", "organism.experts.max_rank=3"])
    assert (config.family, config.options.max_rank, config.organism.dim) == ("experts", 3, 32)
    with pytest.raises(ConfigError, match=r"organism.pseudopods: holds the options of a family"):
        load("signals", ["organism.kind=experts", "organism.pseudopods.max_rank=3"])


def test_a_configuration_is_read_without_torch():
    code = "import sys; from runs.config.reader import load; load('digits-experts'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_measures_of_ones_own_are_taken_in_any_order():
    measures = ["mine:norm", *MEASURES[2:0:-1], "mine.module:reach", MEASURES[0]]
    assert said({"measures": measures}) == []


@pytest.mark.parametrize("count", range(2, 9))
def test_measures_are_two_to_eight_built_in_or_ones_own(count):
    measures = [*MEASURES, "mine:norm", "mine:reach", "mine.module:pace"][:count]
    assert said({"measures": measures}) == said({"measures": measures[::-1]}) == []


def test_the_json_schema_says_how_many_measures_there_can_be():
    described = schema_of_all()["properties"]["measures"]
    assert (described["minItems"], described["maxItems"]) == (2, 8)
    assert described["default"] == list(MEASURES)


def test_the_rules_also_hold_for_a_configuration_made_in_python():
    with pytest.raises(ValidationError, match=r"organism.capacity: must be at least organism.initial"):
        configured({"organism": {"capacity": 2}})


def test_a_calibration_of_another_run_needs_no_samples_for_kmeans():
    assert said({"archive": {"centroids": "kmeans"}, "calibration": {"from": "a"}}) == []


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 5))
def test_a_pool_is_valid_iff_its_slots_fit(capacity, initial, depth):
    organism = {"capacity": capacity, "initial": initial, "depth": depth}
    fits = initial <= capacity and capacity * depth <= 64
    assert (said({"organism": organism, "lifecycle": {"min_alive": 1}}) == []) == fits


class TestOverrides:
    def test_values_follow_the_rules_of_the_file(self):
        config = load(
            "smoke",
            [
                "training.learning_rate=1e-4",
                "validity.gate=off",
                "births=none",
                "organism.pseudopods.max_window=~",
                "calibration.checkpoints=[0.1, 1]",
                'name="12"',
                "lifecycle={min_age: 2, quiet: 0.5}",
            ],
        )
        assert config.training.learning_rate == 1e-4
        assert (config.validity.gate, config.births, config.name) == ("off", "none", "12")
        assert config.calibration.checkpoints == (0.1, 1.0)
        assert (config.lifecycle.min_age, config.lifecycle.quiet) == (2, 0.5)
        assert config.lifecycle.slow_every == 2  # a mapping changes only the keys that it has

    def test_the_last_wins_and_options_win_over_all(self):
        config = load("smoke", ["seed=1", "seed=2", "rounds=3", "rounds=4"], {"seed": 5, "lag": None})
        assert (config.seed, config.rounds, config.lag) == (5, 4, 1)

    def test_all_that_is_wrong_is_reported_with_the_rest(self, tmp_path):
        path = file(tmp_path, "sed: 1\nrounds: 2\nrounds: 3\n")
        wrong = [
            "x",
            "=3",
            "a..b=1",
            "organsm.count=2",
            "seed=.inf",
            "lag=[",
            "task.path=gone.txt",
            "task.name.x=1",
        ]
        with pytest.raises(ConfigError) as caught:
            load(path, wrong)
        text = str(caught.value)
        assert text.startswith(f"{path}: 10 problems:\n")
        for part in (
            "line 3: the key rounds was already given in line 2",
            "x: an override is written key.path=value, such as seed=1",
            "=3: an override",
            "a..b=1: an override",
            "organsm: unknown key; did you mean organism?",
            "seed: must be an integer, not Infinity",
            "lag: lag=[, line 1",
            "no readable file at",
            "task.name: must be text",
            "sed: unknown key; did you mean seed?",
        ):
            assert part in text

    def test_of_thousands_of_problems_the_first_are_shown_and_looked_into(self, tmp_path, monkeypatch):
        asked, close = [], problems.difflib.get_close_matches
        monkeypatch.setattr(
            problems.difflib,
            "get_close_matches",
            lambda word, *a, **k: asked.append(word) or close(word, *a, **k),
        )
        path = tmp_path / "run.yaml"
        path.write_text(
            "sede: 1\n" + "".join(f"key_{number}: 1\n" for number in range(2000)) + f"{'x' * 500}: 1\n"
        )
        with pytest.raises(ConfigError) as caught:
            load(str(path))
        first, *lines, last = str(caught.value).splitlines()
        assert first == f"{path}: 2,002 problems:"
        assert (len(lines), last) == (problems.MOST, "  and 1,952 more")
        assert len(set(asked)) <= problems.MOST

    def test_a_very_long_key_is_cut(self):
        assert len(str(problems.Problem(("x" * 500,), "unknown key"))) < 150

    def test_duplicate_keys_inside_are_problems(self):
        with pytest.raises(ConfigError, match=r"the key count was already given"):
            load("smoke", ["organism={count: 1, count: 2}"])


class TestFiles:
    def test_paths_in_a_file_start_at_the_file_and_in_overrides_at_the_working_directory(
        self, tmp_path, monkeypatch
    ):
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "corpus.txt").write_text("x")
        (tmp_path / "corpus.txt").write_text("y")
        path = tmp_path / "a" / "c.yaml"
        path.write_text("task: {name: text, path: corpus.txt}")
        monkeypatch.chdir(tmp_path)
        assert load(str(path)).task.path == str(tmp_path / "a" / "corpus.txt")
        assert load(str(path), ["task.path=corpus.txt"]).task.path == str(tmp_path / "corpus.txt")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("task: {name: text, path: gone}", "task.path: no readable file at /.*gone"),
            ("task: {name: text, path: .}", "task.path: no readable file at"),
            (
                "task: {name: text, path: ~no.such.user/x}",
                "task.path: no readable file at /.*~no.such.user/x",
            ),
            ("archive: {centroids: gone.npy}", "archive.centroids: no readable file at /.*gone.npy"),
            ("calibration: {from: gone}", "calibration.from: no readable directory at /.*gone"),
            ("- 1", "it must be a mapping such as 'rounds: 40', not .1."),
            ("", "it must be a mapping such as 'rounds: 40', not null"),
            ("seed: &a 1\nlag: *a", r"line 2: the alias \*a is not allowed"),
        ],
    )
    def test_a_file_that_cannot_be_used_is_refused(self, tmp_path, text, message):
        with pytest.raises(ConfigError, match=message):
            load(file(tmp_path, text))

    def test_an_unknown_name_lists_the_presets_and_the_nearest(self):
        near = r"called smok; did you mean smoke\? presets: digits, digits-experts, digits-flow, digits-towers, parity"
        with pytest.raises(ConfigError, match=near):
            load("smok")
        with pytest.raises(ConfigError, match=r"called q.yaml; presets: digits"):
            load("q.yaml")

    def test_a_directory_is_refused(self, tmp_path):
        with pytest.raises(ConfigError, match=r"is a directory; give a YAML file or a preset: digits"):
            load(str(tmp_path))

    def test_a_file_that_is_not_utf8_is_refused(self, tmp_path):
        path = tmp_path / "c.yaml"
        path.write_bytes(b"name: \xff")
        with pytest.raises(ConfigError, match=r"not UTF-8"):
            load(str(path))

    def test_a_file_that_cannot_be_opened_is_named(self, tmp_path, monkeypatch):
        path = file(tmp_path, "seed: 1")

        def refuse(self, mode):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("pathlib.Path.open", refuse)
        with pytest.raises(ConfigError, match=r"config.yaml cannot be read: Permission denied"):
            load(path)

    def test_a_runs_own_configuration_needs_no_files_around_it(self, tmp_path):
        path = tmp_path / "config.yaml"
        path.write_text("task: {name: text, path: /gone/corpus.txt}")
        assert read_config(path).task.path == "/gone/corpus.txt"
        path.write_text("sed: 1\nsed: 2")
        with pytest.raises(ConfigError, match=r"2 problems:\n.*line 2.*\n.*did you mean seed"):
            read_config(path)


def test_execution_and_the_places_of_files_are_no_part_of_the_science():
    here = {"task": {"name": "text", "path": "/a/corpus.txt"}, "execution": {"workers": 3}}
    there = {"task": {"name": "text", "path": "/b/corpus.txt"}, "execution": {"executor": "inline"}}
    first, second = (scientific(configured(values)) for values in (here, there))
    assert first == second
    assert "execution" not in first
    assert first["task"]["path"] == "corpus.txt"
    assert scientific(configured({"lag": 2})) != scientific(configured({}))


def test_a_key_that_came_later_counts_only_where_it_is_used():
    assert scientific(configured({}))["chemotaxis"] == {"tau": 0.2, "window": 5}
    among = configured(searching(source()))
    assert scientific(among)["chemotaxis"]["sources"] == [source()]
    assert configured(plain(among)) == among
    assert "kinds" not in scientific(configured({}))["task"]
    chosen = configured({"task": {"name": "signals", "kinds": ["sine"]}})
    assert scientific(chosen)["task"]["kinds"] == ["sine"]
    assert plain(configured({}))["task"]["kinds"] is None


def test_streams_and_memories_count_only_where_they_are_used():
    usual = scientific(configured({}))
    assert not {"stream", "chunks", "truncation"} & usual["task"].keys()
    assert not {"memory", "memory_capacity", "memory_decay"} & usual["organism"]["pseudopods"].keys()
    stream = {"name": "text", "stream": True, "chunks": 3}
    used = scientific(configured({"task": stream, "organism": {"pseudopods": {"memory": "tubes"}}}))
    assert (used["task"]["stream"], used["task"]["chunks"]) == (True, 3)
    assert used["organism"]["pseudopods"]["memory"] == "tubes"
    assert "memory_decay" not in used["organism"]["pseudopods"]


@pytest.mark.parametrize("kinds", ["sine", [1], {"sine": 1}])
def test_kinds_are_a_list_of_names(kinds):
    (problem,) = said({"task": {"name": "signals", "kinds": kinds}})
    assert problem.startswith("task.kinds")


def test_changes_of_execution_are_checked_and_only_the_given_ones_come_back():
    assert execution_changes(workers=2, executor=None) == {"workers": 2}
    with pytest.raises(
        ConfigError, match=r"2 problems:\n  executor: .* did you mean ray\?\n  workers: must be at"
    ):
        execution_changes(workers=0, executor="rya")


def test_a_family_of_ones_own_has_all_its_options_in_the_digest():
    """Their defaults are its module's, which may change: `tests.faults.starving:Narrow` inherits pseudopods'."""
    own = load("smoke", ["organism.kind=tests.faults.starving:Narrow"])
    assert scientific(own)["organism"]["pseudopods"]["memory"] == own.organism.pseudopods.memory
    assert "memory" not in scientific(load("smoke", []))["organism"]["pseudopods"]
