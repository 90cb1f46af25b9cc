"""What `make test` runs of the suite: something of everything, and the same each time."""

from types import SimpleNamespace

from tests.fixtures.sample import sample


def item(nodeid, *marks):
    return SimpleNamespace(nodeid=nodeid, get_closest_marker=lambda name: name if name in marks else None)


def cases(function, count):
    return [item(f"{function}[case-{number}]") for number in range(count)]


def nodeids(items):
    return [each.nodeid for each in items]


def test_of_each_test_there_is_a_case_in_its_place():
    many, one = cases("a.py::test_many", 30), [item("a.py::test_one")]
    first, last = nodeids(sample([*many, *one, *cases("a.py::TestX::test_few", 2)]))[::2]
    assert (first.partition("[")[0], last.partition("[")[0]) == ("a.py::test_many", "a.py::TestX::test_few")
    assert len(sample([*many, *one])) == 2


def test_what_is_long_is_left_out_and_nothing_else():
    items = [item("a.py::test_a"), item("a.py::test_b", "long"), item("a.py::test_c", "ray")]
    assert nodeids(sample(items)) == ["a.py::test_a", "a.py::test_c"]


def test_tests_of_one_file_are_tried_on_the_same_case_and_another_files_on_others():
    def chosen(function):
        return [name.partition("[")[2] for name in nodeids(sample(cases(function, 30)))]

    assert chosen("a.py::test_a") == chosen("a.py::TestX::test_b") != chosen("b.py::test_a")


def test_another_order_of_the_cases_does_not_matter():
    many = cases("a.py::test_a", 100)
    assert nodeids(sample(many)) == nodeids(sample(many[::-1]))
