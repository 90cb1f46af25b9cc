import pytest

from runs.errors import ConfigError
from runs.results.slo.settings import NAMES, SlosConfig, slos_of


def test_without_a_file_the_built_in_ones_hold():
    assert slos_of(None) == SlosConfig()
    assert tuple(SlosConfig.model_fields) == NAMES


def test_a_file_changes_what_it_names(tmp_path):
    path = tmp_path / "slo.yaml"
    path.write_text("commit: {threshold: 0.1, objective: 0.5, window: {seconds: 60}}\nlag: null\n")
    found = slos_of(path)
    assert (found.commit.threshold, found.commit.objective, found.commit.window.seconds) == (0.1, 0.5, 60)
    assert found.lag is None
    assert found.order == SlosConfig().order


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("comit: {threshold: 1}", "comit: unknown key; did you mean commit?"),
        ("commit: {objective: 0.9}", "commit.threshold"),
        ("commit: {threshold: 1, objective: 1}", "commit.objective"),
        ("commit: {threshold: -1}", "commit.threshold"),
        ("commit: {threshold: 1, window: {rounds: 2, seconds: 3}}", "must have rounds or seconds, not both"),
        ("commit: {threshold: many}", "commit.threshold"),
        ("- 1", "must be a mapping such as 'commit: {threshold: 2}'"),
        ("", "not null"),
        ("commit: [", "not YAML"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(text, told, tmp_path):
    path = tmp_path / "slo.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        slos_of(path)
    assert str(error.value).startswith(str(path))
    assert told in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        slos_of(tmp_path / "slo.yaml")
