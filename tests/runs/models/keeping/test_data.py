import pytest

from archive_store.reading import open_run
from runs.errors import ConfigError, RunError
from runs.models.keeping.data import given, made, task_of
from runs.models.networks import rebuilt
from tests.fixtures.small_models import DATA, digits, kept, trained


def test_the_data_of_a_model_are_made_again(tmp_path, signals):
    training = trained(tmp_path / "training", (1.0,))
    assert task_of(training).digest == digits().digest
    assert task_of(kept(tmp_path / "alone")).digest == digits().digest
    assert task_of(signals).digest == rebuilt(open_run(signals)).task.digest


def test_a_checkpoint_that_does_not_say_what_its_data_are_is_told(tmp_path):
    with pytest.raises(
        RunError, match=r"does not say what its data are, nor is there .* name them with --data"
    ):
        task_of(kept(tmp_path / "alone", data=None))


def test_data_are_given_by_files_and_keys_of_which_later_ones_win(tmp_path):
    file = tmp_path / "config.yaml"
    for text in ("data: {name: digits, examples: 3}", "task: {name: digits, examples: 3}", "name: digits"):
        file.write_text(text)
        assert given([str(file), "data.examples=64"]).digest == digits().digest
    assert given([f"{name}={value}" for name, value in DATA.items()]).digest == digits().digest


def test_the_path_of_a_file_is_taken_from_the_configuration(tmp_path):
    (tmp_path / "words.txt").write_text("to be or not to be, that is the question. " * 200)
    (tmp_path / "config.yaml").write_text("data: {name: text, path: words.txt, length: 8}")
    assert given([str(tmp_path / "config.yaml")]).length == 8


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["nowhere.yaml"], "nowhere.yaml cannot be read: No such file"),
        (["name=digitz"], "--data: name: must be digits, .*did you mean digits"),
        (["nam=digits"], "--data: nam: unknown key; did you mean name"),
        (["=1"], "--data =1: an override is written"),
    ],
)
def test_what_are_no_data_is_refused(values, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=said):
        given(values)


def test_a_file_without_data_is_refused(tmp_path):
    for text, said in (("[1]", "has no data: give a mapping"), ("a: [", "not YAML|YAML")):
        (tmp_path / "x.yaml").write_text(text)
        with pytest.raises(ConfigError, match=said):
            given([str(tmp_path / "x.yaml")])
    with pytest.raises(ConfigError, match="mine: batch_size: must be at least 1, not 0"):
        made({"batch_size": 0}, "mine")
