"""Modules as people write them: which of their modules are computed together, and why others are not."""

import random

import torch
from torch import nn
from torch.nn import functional as F

from organisms.towers import BaseTower

DIM = 6


def linear():
    return nn.Linear(DIM, DIM, dtype=torch.float64)


def block():
    return nn.Sequential(linear(), nn.ReLU(), linear())


class SloppyModel(nn.Module):
    """The documents' own; differs from it by the call of Module.__init__, without which torch refuses it."""

    def __init__(self):
        super().__init__()
        self.stuff = nn.ModuleList([linear() for _ in range(8)])
        self.thing = nn.Sequential(nn.Linear(DIM, 2 * DIM, dtype=torch.float64), nn.GELU())

    def forward(self, x):
        for s in self.stuff:
            x = x + s(x)
        return self.thing(x)


class Ensemble(nn.Module):
    """Blocks of one input, each with a norm that remembers batches."""

    def __init__(self):
        super().__init__()
        self.members = nn.ModuleList(
            [nn.Sequential(block(), nn.BatchNorm1d(DIM, dtype=torch.float64)) for _ in range(3)]
        )
        self.read = linear()

    def forward(self, x, scale=None):
        x = x if scale is None else x * scale
        return self.read(torch.stack([member(x) for member in self.members]).mean(0))


class Layered(nn.Module):
    """Layers that wait for one another, in which maps do not."""

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.key, self.value = linear(), linear(), linear()

        def forward(self, x):
            return x + (self.query(x) @ self.key(x).mT).softmax(-1) @ self.value(x)

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(*(self.Layer() for _ in range(2)))

    def forward(self, x):
        return {"y": self.layers(x), "n": 2, "nothing": None}


class Shared(nn.Module):
    """One module under two names, and others in a mapping."""

    def __init__(self):
        super().__init__()
        self.first = linear()
        self.again = self.first
        self.others = nn.ModuleDict({"a": linear(), "b": linear()})

    def forward(self, x):
        return self.first(x) + torch.tanh(self.again(x)) * self.others["a"](x) - self.others["b"](x)


class Twice(nn.Module):
    """Two maps used on one value, and again, the other way around, on another."""

    def __init__(self):
        super().__init__()
        self.a, self.b = linear(), linear()

    def forward(self, x):
        y = torch.sin(self.a(x) * self.b(x))
        return self.b(y) - 2 * self.a(y)


class Overlapping(nn.Module):
    """Three maps, of which two are used on one value and two on another."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = linear(), linear(), linear()

    def forward(self, x):
        y = torch.sin(self.a(x) - self.b(x))
        return self.b(y) * self.c(y)


class Tied(nn.Module):
    """Two maps with one weight."""

    def __init__(self):
        super().__init__()
        self.a, self.b = linear(), linear()
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.a(x) * self.b(x)


class PartlyTied(nn.Module):
    """Three maps, of which two have one weight."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = linear(), linear(), linear()
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.a(x) * self.b(x) * self.c(x)


class Aliased(nn.Module):
    """Two weights in one place of memory."""

    def __init__(self):
        super().__init__()
        self.a, self.b = linear(), linear()
        self.b.weight = nn.Parameter(self.a.weight.detach())

    def forward(self, x):
        return self.a(x) * self.b(x)


class Listed(nn.Module):
    """Maps in a list that nobody has registered, beside some that are."""

    class Hiding(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = {"maps": [linear() for _ in range(2)]}

        def forward(self, x):
            return sum(each(x) for each in self.hidden["maps"])

    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleList([linear(), linear()])
        self.hiding = self.Hiding()

    def forward(self, x):
        return self.hiding(x) + self.heads[0](x) * self.heads[1](x)


class Branching(nn.Module):
    """A part that goes by its data, beside maps that do not."""

    class Part(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = linear(), linear()

        def forward(self, x):
            return self.a(x) + self.b(x) if x.sum() > 0 else self.a(x)

    def __init__(self):
        super().__init__()
        self.part, self.heads = self.Part(), nn.ModuleList([linear(), linear()])

    def forward(self, x):
        return self.part(x) + self.heads[0](x) * self.heads[1](x)


class Counting(nn.Module):
    """A part that changes itself, beside maps."""

    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            return x * self.calls

    def __init__(self):
        super().__init__()
        self.heads, self.counter = nn.ModuleList([linear(), linear()]), self.Counter()

    def forward(self, x):
        return self.counter(self.heads[0](x) * self.heads[1](x))


class Special(nn.Module):
    """Parts that switch gradients off, draw, cache, and are listened to, beside maps."""

    class Heard(nn.Module):
        def forward(self, x):
            return 3 * x

    class Frozen(nn.Module):
        def __init__(self):
            super().__init__()
            self.map = linear()

        def forward(self, x):
            with torch.no_grad():
                return self.map(x)

    class Skipping(nn.Module):
        def __init__(self):
            super().__init__()
            self.map = linear()

        def forward(self, x):
            return self.map(x) if random.random() < 0.5 else x

    class Caching(BaseTower):
        def forward(self, x):
            self.cache_set("x", x)
            return 2 * x

    def __init__(self):
        super().__init__()
        self.heads, self.told = nn.ModuleList([linear(), linear()]), self.Heard()
        self.frozen, self.skipping, self.caching = self.Frozen(), self.Skipping(), self.Caching("caching")
        self.told.register_forward_hook(lambda *values: 2 * values[2])

    def forward(self, x):
        y = self.heads[0](x) * self.heads[1](x)
        return self.frozen(y) + self.skipping(y) + self.told(y) + self.caching(y)


class Shift(nn.Module):
    def __init__(self):
        super().__init__()
        self.by = nn.Parameter(torch.randn(DIM, dtype=torch.float64))

    def forward(self, x):
        return x + self.by


class InPlace(nn.Module):
    """Shifts between which what they read is changed, by a method."""

    def __init__(self):
        super().__init__()
        self.a, self.b = Shift(), Shift()

    def forward(self, x):
        x = x * 1
        y = self.a(x)
        x.mul_(2)
        return y - 3 * self.b(x)


class InPlaceModule(nn.Module):
    """Shifts between which what they read is changed, by a module."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.relu = Shift(), Shift(), nn.ReLU(inplace=True)

    def forward(self, x):
        x = x * 1
        y = self.a(x)
        self.relu(x)
        return y - 3 * self.b(x)


class InPlacePart(nn.Module):
    """Shifts between which what they read is changed, by a part that cannot be looked into."""

    class Part(nn.Module):
        def forward(self, x):
            if x.sum() > -1e9:
                x.mul_(2)

    def __init__(self):
        super().__init__()
        self.a, self.b, self.part = Shift(), Shift(), self.Part()

    def forward(self, x):
        x = x * 1
        y = self.a(x)
        self.part(x)
        return y - 3 * self.b(x)


class Augmented(nn.Module):
    """A sum that is added to, of which an older name knows."""

    def __init__(self):
        super().__init__()
        self.a, self.b = Shift(), Shift()

    def forward(self, x):
        total = x * 1
        older = total
        total += 1
        return self.a(older) - 3 * self.b(total)


class Dropping(nn.Module):
    """Blocks that drop, and are computed together where they do not."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Sequential(linear(), nn.Dropout(0.5)) for _ in range(2)])

    def forward(self, x):
        return F.dropout(self.blocks[0](x) * self.blocks[1](x), 0.5, self.training)


class Pairwise(nn.Module):
    """Maps of two inputs, maps of different ones, one that is never called, and one whose weight is read."""

    def __init__(self):
        super().__init__()
        self.a, self.b = (
            nn.Bilinear(DIM, DIM, DIM, dtype=torch.float64),
            nn.Bilinear(DIM, DIM, DIM, dtype=torch.float64),
        )
        self.c, self.d = linear(), linear()
        self.e, self.f = nn.Linear(DIM, 2, dtype=torch.float64), nn.Linear(DIM, 2, dtype=torch.float64)

    def forward(self, x):
        y = self.a(x, x) + self.b(x, x)
        return self.c(x + 1) + self.d(x - 1) + y + self.e.weight.sum()


class Clipping(nn.Module):
    """Maps that go by their data: a stage that neither a graph nor vmap can compute."""

    class Map(nn.Module):
        def __init__(self):
            super().__init__()
            self.map = linear()

        def forward(self, x):
            y = self.map(x)
            return y if y.max() > 0 else x

    def __init__(self):
        super().__init__()
        self.a, self.b = self.Map(), self.Map()

    def forward(self, x):
        return self.a(x) * self.b(x)


class Making(nn.Module):
    """A forward pass that makes tensors of its own."""

    def __init__(self):
        super().__init__()
        self.a, self.b = linear(), linear()

    def forward(self, x):
        return self.a(x) * self.b(x) * torch.arange(DIM)


class Reading(nn.Module):
    """What listing gets wrong without noticing: it asks whether its input is a tensor."""

    def __init__(self):
        super().__init__()
        self.a, self.b = linear(), linear()

    def forward(self, x):
        y = self.a(x) * self.b(x)
        return 2 * y if isinstance(y, torch.Tensor) else y


class ReadingGradients(nn.Module):
    """What listing gets wrong in gradients alone."""

    def __init__(self):
        super().__init__()
        self.a, self.b = linear(), linear()

    def forward(self, x):
        y = self.a(x) * self.b(x)
        return y.detach() + (y - y.detach()) / 2 if isinstance(y, torch.Tensor) else y


HEADS = [("heads.0", "heads.1")]
# By class: the stages that are computed together in training, and a part of what is said of others.
MODELS = {
    SloppyModel: ([], "they wait for one another"),
    Ensemble: ([("members.0", "members.1", "members.2")], "no other one of its structure reads what it does"),
    Layered: (
        [tuple(f"layers.{i}.{name}" for name in ("query", "key", "value")) for i in range(2)],
        "they wait for one another",
    ),
    Shared: ([("first", "others.a", "others.b")], ""),
    Twice: ([("a", "b"), ("b", "a")], ""),
    Overlapping: ([("a", "b")], "others of them are computed together elsewhere"),
    Tied: ([("a", "b")], ""),
    PartlyTied: ([], "weight is shared with others of them"),
    Aliased: ([], "a parameter of theirs shares its memory with another one"),
    Listed: (HEADS, "it calls modules that are not registered, but kept in a list or mapping"),
    Branching: (HEADS, "part is called as it is: its operations cannot be listed: TraceError"),
    Counting: (HEADS, "a call changes attributes of modules in it"),
    Special: (HEADS, "its forward pass switches gradients on or off"),
    InPlace: ([], "a tensor is changed in place between them"),
    InPlaceModule: ([], "a tensor is changed in place between them"),
    InPlacePart: ([("a", "b")], "its operations, one by one, give something else than it gives itself"),
    Augmented: ([], "they read different inputs"),
    Dropping: ([("blocks.0.0", "blocks.1.0")], "they drop at random, and would draw in another order"),
    Pairwise: ([], "they are called with more than one input"),
    Clipping: (
        [("a", "b")],
        "vmap: It looks like you're attempting to use a Tensor in some data-dependent control",
    ),
    Making: ([], "its forward pass makes tensors of its own"),
    ReadingGradients: (
        [("a", "b")],
        "its operations, one by one, give something else than it gives itself",
    ),
    Reading: ([("a", "b")], "its operations, one by one, give something else than it gives itself"),
}
