import copy

import pytest
import torch

from organisms.towers.geometry.mailbox import Mailbox, Message


def message(sender, number, channel="default"):
    return Message(sender, channel, torch.tensor(float(number)), torch.zeros(2))


def numbers(box, channel=None):
    return [int(each.content) for each in box.messages(channel)]


def test_each_sender_has_room_for_its_newest_messages_on_each_channel():
    box = Mailbox(2)
    for number, sender in enumerate("abaaba"):
        box.put(message(sender, number))
    box.put(message("a", 9, "other"))
    assert numbers(box) == [3, 5, 1, 4, 9]
    assert numbers(box, "other") == [9]
    assert len(box) == 5


def test_it_never_grows_with_the_number_of_messages():
    box = Mailbox(1)
    for number in range(200):
        box.put(message(f"tower_{number % 3}", number))
    assert numbers(box) == [198, 199, 197]


def test_what_is_cleared_is_gone_and_nothing_else():
    box = Mailbox(1)
    for each in (message("a", 1), message("b", 2), message("a", 3, "other")):
        box.put(each)
    box.forget("a", "default")
    assert numbers(box) == [2, 3]
    box.forget("nobody", "default")
    box.clear("default")
    assert numbers(box) == [3]
    box.clear()
    assert len(box) == 0


def test_a_copy_is_empty():
    box = Mailbox(3)
    box.put(Message("a", "default", torch.ones(2, requires_grad=True) * 2, torch.zeros(2)))
    copied = copy.deepcopy(box)
    assert (copied.capacity, len(copied), len(box)) == (3, 0, 1)


def test_boxes_are_equal_by_capacity_and_a_sealed_one_is_neither_read_nor_written():
    full, sealed = Mailbox(1), Mailbox(1, sealed=True)
    full.put(message("a", 1))
    assert full == sealed
    assert hash(full) == hash(sealed)
    assert full != Mailbox(2)
    for use in (len, Mailbox.messages, lambda box: box.put(message("a", 1))):
        use(full)
        with pytest.raises(RuntimeError, match=r"messages are posted and read by towers one by one"):
            use(sealed)
    sealed.clear()


@pytest.mark.parametrize("capacity", [0, -1, 1.5, None])
def test_a_box_has_room(capacity):
    with pytest.raises(ValueError, match=r"capacity must be a whole number of messages from 1 on, but is"):
        Mailbox(capacity)
