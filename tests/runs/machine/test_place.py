import pytest

from runs.errors import ConfigError
from runs.machine.place import check_place


def test_a_free_place_is_left_as_it_is(tmp_path):
    check_place(tmp_path / "below" / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (
            "",
            "my run exists already and is empty; choose another --out, or remove it: a launch makes the folder",
        ),
        (
            "thesis.tex",
            "my run exists already and holds no run; choose another --out, or remove it: a launch",
        ),
        (
            "journal.sqlite",
            "my run exists already; choose another --out, or go on with: plasmodia resume '.*my run'",
        ),
    ],
)
def test_a_folder_that_is_there_is_refused_with_the_remedy_that_fits(made, told, tmp_path):
    place = tmp_path / "my run"
    place.mkdir()
    if made:
        (place / made).touch()
    with pytest.raises(ConfigError, match=told):
        check_place(place)


@pytest.mark.parametrize("is_link", [True, False])
def test_what_is_no_folder_is_not_told_to_be_resumed(is_link, tmp_path):
    place = tmp_path / "passwd"
    place.symlink_to("nowhere") if is_link else place.touch()
    with pytest.raises(ConfigError, match=r"passwd exists already and is no folder; choose another --out$"):
        check_place(place)


def test_a_place_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        ConfigError, match=r"a run cannot be written to .*: Not a directory; choose another --out"
    ):
        check_place(tmp_path / "file" / "run")
