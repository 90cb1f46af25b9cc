import importlib
import sys

import pytest

PACKAGE = """
from typing import TYPE_CHECKING

from organisms.lazy import exports

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lazy_package.second import Beta as Beta
    from lazy_package.first import Alpha as Alpha
    from lazy_package.first import unnamed
else:
    __all__, __getattr__, __dir__ = exports(__name__)
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of two modules, one public name each."""
    folder = tmp_path / "lazy_package"
    folder.mkdir()
    (folder / "__init__.py").write_text(PACKAGE)
    for name, value in (("first", "Alpha = object()\nunnamed = 1"), ("second", "Beta = object()")):
        (folder / f"{name}.py").write_text(value)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("lazy_package")
    for name in [name for name in sys.modules if name.partition(".")[0] == "lazy_package"]:
        del sys.modules[name]


def loaded():
    return sorted(name for name in sys.modules if name.startswith("lazy_package."))


def test_a_module_is_imported_with_the_first_of_its_names(package):
    assert loaded() == []
    alpha = package.Alpha
    assert loaded() == ["lazy_package.first"]
    assert alpha is sys.modules["lazy_package.first"].Alpha
    assert vars(package)["Alpha"] is alpha  # the next time it is an ordinary attribute


def test_names_are_listed_without_importing_them(package):
    assert package.__all__ == ["Alpha", "Beta"]
    assert {"Alpha", "Beta", "__name__"} <= set(dir(package))
    assert not {"unnamed", "Mapping"} & set(dir(package))
    assert loaded() == []


def test_a_star_imports_all_of_them(package):
    names = {}
    exec("from lazy_package import *", names)
    assert {name for name in names if not name.startswith("__")} == {"Alpha", "Beta"}
    assert names["Beta"] is package.Beta


def test_an_unknown_name_lists_the_known_ones_and_the_nearest(package):
    with pytest.raises(
        AttributeError,
        match=r"'lazy_package' has no attribute 'Alpa'; its public names are Alpha, Beta; did you mean 'Alpha'\?",
    ):
        _ = package.Alpa
    assert not hasattr(package, "unnamed")
    with pytest.raises(ImportError, match="cannot import name 'Gamma' from 'lazy_package'"):
        exec("from lazy_package import Gamma", {})


def test_submodules_are_imported_as_ever(package):
    names = {}
    exec("from lazy_package import second", names)
    assert names["second"] is sys.modules["lazy_package.second"]
