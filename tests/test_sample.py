"""What `make test` runs of the suite: something of everything, and the same each time."""

from types import SimpleNamespace

from tests.fixtures.sample import EACH, sample


def item(nodeid, *marks):
    return SimpleNamespace(nodeid=nodeid, get_closest_marker=lambda name: name if name in marks else None)


def cases(function, count):
    return [item(f"{function}[case-{number}]") for number in range(count)]


def nodeids(items):
    return [each.nodeid for each in items]


def test_of_each_test_there_are_two_cases_in_their_order():
    many, few, one = cases("a.py::test_many", 30), cases("a.py::TestX::test_few", 2), [item("a.py::test_one")]
    kept = nodeids(sample([*many, *few, *one]))
    assert kept[-3:] == nodeids([*few, *one])
    assert len(kept[:-3]) == EACH
    assert kept == [each for each in nodeids([*many, *few, *one]) if each in kept]


def test_what_is_long_is_left_out_and_nothing_else():
    items = [item("a.py::test_a"), item("a.py::test_b", "long"), item("a.py::test_c", "ray")]
    assert nodeids(sample(items)) == ["a.py::test_a", "a.py::test_c"]


def test_tests_of_one_file_are_tried_on_the_same_cases_and_another_files_on_others():
    def chosen(function):
        return [name.partition("[")[2] for name in nodeids(sample(cases(function, 30)))]

    assert chosen("a.py::test_a") == chosen("a.py::TestX::test_b") != chosen("b.py::test_a")


def test_more_cases_or_another_order_leave_most_of_a_sample_as_it_is():
    names = set(nodeids(sample(cases("a.py::test_a", 100))))
    assert set(nodeids(sample(cases("a.py::test_a", 100)[::-1]))) == names
    assert names & set(nodeids(sample(cases("a.py::test_a", 101))))
