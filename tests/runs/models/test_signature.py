import json

import pytest

from runs import tasks
from runs.config.tables import TASKS
from runs.models.config import DataConfig
from runs.models.signature import Signature
from runs.tasks.corpora import CORPORA

GOOD = {
    "name": "mine", "kind": "class", "tokens": "continuous", "features": 3, "outputs": 2, "length": 5, "causal": False,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(TASKS) - {"table", *CORPORA}))
def test_the_signature_of_a_task_is_its_shape_and_survives_json(name):
    task = tasks.load(DataConfig(name=name))
    signature = Signature.of(task)
    for field in ("name", "kind", "tokens", "features", "outputs", "length", "causal", "labels", "classes"):
        assert getattr(signature, field) == getattr(task, field)
    for derived in ("per_position", "regression", "score_name"):
        assert getattr(signature, derived) == getattr(task, derived)
    assert Signature.read(json.loads(json.dumps(signature.plain()))) == signature


def test_names_of_classes_are_kept_where_there_are_some():
    named = Signature(**GOOD, classes=("no", "yes"))
    assert Signature.read(json.loads(json.dumps(named.plain()))) == named
    assert "classes" not in Signature(**GOOD).plain()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": "classes"}, "kind must be one of class, token, value, sequence, not 'classes'"),
        ({"tokens": 3}, "tokens must be one of continuous, discrete, not 3"),
        ({"features": 0}, "features must be a whole number from 1 on, not 0"),
        ({"outputs": 2.0}, r"outputs must be a whole number from 1 on, not 2\.0"),
        (
            {"classes": ("no", "no")},
            "a name of its own for each of the 2 outputs .* but are 1 different names of kind",
        ),
        ({"classes": ("no", 3)}, r"classes must be names, not \['no', 3\]"),
        ({"length": True}, "length must be a whole number from 1 on, not True"),
    ],
)
def test_what_no_task_has_is_refused(change, told):
    with pytest.raises(ValueError, match=told):
        Signature(**{**GOOD, **change})
    with pytest.raises(ValueError, match=told):
        Signature.read({**GOOD, **change})
