import pytest

from runs.errors import ConfigError
from runs.experiments.description import described, experiments, flat, full, purpose, seeds_of
from runs.experiments.plan import planned


@pytest.mark.parametrize(
    ("given", "expected"),
    [("0:3", (0, 1, 2)), ("7", (7,)), (7, (7,)), ("4,0,2", (4, 0, 2)), ([5, 1], (5, 1)), ("3:4", (3,))],
)
def test_seeds_are_a_range_or_a_list(given, expected):
    assert seeds_of(given) == expected


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("3:1", r"seeds are 3:1, which holds none; 1:4 does"),
        ("2:2", r"seeds are 2:2, which holds none; 2:3 does"),
        ("a:b", r"seeds must be written 0:5 \(which is 0 to 4\) or 0,2,5, not \"a:b\""),
        ("-1:3", r"seeds must be written"),
        ([], r"seeds are an empty list"),
        ("1,1", r"seeds hold 1 twice"),
        ("0:999999999", r"seeds must be at most 10,000"),
    ],
)
def test_what_are_no_seeds_is_refused_with_the_remedy(given, told):
    with pytest.raises(ConfigError, match=told):
        seeds_of(given)


def test_settings_by_key_path():
    assert flat({"births": "none", "lifecycle": {"enabled": False}}) == {
        "births": "none",
        "lifecycle.enabled": False,
    }


def write(folder, text):
    path = folder / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_paths_in_a_file_are_relative_to_it(tmp_path):
    (tmp_path / "base.yaml").write_text("rounds: 3\n")
    (tmp_path / "corpus.txt").write_text("a corpus\n")
    asked = described(
        write(tmp_path, "base: base.yaml\narms:\n  a: {}\n  b: {task: {name: text, path: corpus.txt}}\n")
    )
    assert asked.base == str(tmp_path / "base.yaml")
    assert asked.arms["b"] == {"task": {"name": "text", "path": str(tmp_path / "corpus.txt")}}


def test_the_full_version_changes_settings_and_seeds(tmp_path):
    text = "name: x\nsettings: {rounds: 3, lifecycle: {warmup: 0.2}}\narms: {a: {}}\nseeds: 0:2\n"
    short = described(write(tmp_path, f"{text}full: {{settings: {{rounds: 9}}, seeds: 0:7}}\n"))
    long = full(short)
    assert (long.name, long.settings, long.seeds) == (
        "x-full",
        {"rounds": 9, "lifecycle": {"warmup": 0.2}},
        "0:7",
    )
    with pytest.raises(ConfigError, match="the experiment x has no full version; leave --full out"):
        full(described(write(tmp_path, text)))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rounds: 3\n", "is no experiment: it needs arms"),
        ("arms: {a: {}}\nbas: smoke\n", "bas: unknown key; did you mean base"),
        ("arms: {a: {}, a: {}}\n", "the key a was already given"),
        ("arms: 3\n", "arms: must be"),
        ("arms: {a: {}}\nspeed: 1\n", "speed: must be true or false"),
        ("arms: {", "not YAML"),
    ],
)
def test_what_is_no_experiment_is_refused(tmp_path, text, told):
    with pytest.raises(ConfigError, match=told):
        described(write(tmp_path, text))


def test_an_unknown_name_has_a_nearest_and_a_configuration_is_told_apart():
    with pytest.raises(ConfigError, match="no experiment and no file is called archiv; did you mean archive"):
        described("archiv")
    with pytest.raises(ConfigError, match="digits is a configuration and no experiment; give arms"):
        described("digits")


@pytest.mark.parametrize("name", experiments())
def test_every_preset_is_valid_short_and_full_and_says_what_it_asks(name):
    short = described(name)
    assert short.name == name
    for asked in (short, full(short)):
        plan = planned(asked)
        assert len(plan.arms) >= 2 or plan.also == ("placement",)  # which compares rules, not arms
        assert len(plan.seeds) >= 3
    assert purpose(name)[0].isupper()
