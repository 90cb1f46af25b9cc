import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.serving.queueing import Turns


@given(st.lists(st.sampled_from("abc")))
def test_clients_take_turns_and_each_is_served_in_its_order(clients):
    turns = Turns()
    for number, client in enumerate(clients):
        turns.put(client, (client, number))
    assert len(turns) == len(list(turns)) == len(clients)
    served = [turns.take() for _ in clients]
    assert len(turns) == 0
    rounds = {"a": 0, "b": 0, "c": 0}
    order = []
    for client in dict.fromkeys(clients):
        for number, each in enumerate(clients):
            if each == client:
                order.append((rounds[client], list(dict.fromkeys(clients)).index(client), (client, number)))
                rounds[client] += 1
    assert served == [item for _, _, item in sorted(order)]


def test_one_that_leaves_is_not_served_and_nobody_is_missing():
    turns = Turns()
    items = [object() for _ in range(4)]
    for client, item in zip("aabc", items, strict=True):
        turns.put(client, item)
    turns.remove(items[2])
    turns.remove(items[2])
    turns.remove(items[0])
    assert len(turns) == 2
    assert [turns.take(), turns.take()] == [items[1], items[3]]
    with pytest.raises(LookupError, match="nobody waits"):
        turns.take()
