"""How many pseudopods a layer starts with, how large they are, and how much room it has for others."""

from dataclasses import dataclass

from organisms.layers.config import Count, Section


@dataclass(frozen=True, slots=True)
class PoolShape:
    """What a `PoolConfig` comes to for a width and a number of heads; heads live in the first slots."""

    slots: int
    ranks: tuple[int, ...]  # of the living ones
    widths: tuple[int, ...]
    max_rank: int
    max_width: int


class PoolConfig(Section):
    """The slots of a layer, each empty or a pseudopod. What is left out makes the heads of a transformer."""

    slots: Count | None = None
    """Slots, living and empty; null: as many as there are heads."""
    rank: Count | tuple[Count, ...] | None = None
    """Rank of the query-key product of every head, or of each; null: d_model / nhead, a full one."""
    width: Count | tuple[Count, ...] | None = None
    """Width of the value-output product of every head, or of each; null: d_model / nhead."""
    max_rank: Count | None = None
    """Largest rank that a slot has room for; null: the largest that a head has."""
    max_width: Count | None = None
    """Largest width that a slot has room for; null: the largest that a head has."""

    def shape(self, d_model: int, nhead: int) -> PoolShape:
        """Return the sizes in a model of width `d_model` with `nhead` heads.

        Raises
        ------
        ValueError
            If there are fewer slots than heads, or sizes for another number of heads; if a head is larger than a slot
            has room for; if heads of no given size cannot share the width evenly.
        """
        slots = nhead if self.slots is None else self.slots
        if slots < nhead:
            raise ValueError(f"slots must be at least nhead, {nhead}, but is {slots}")
        ranks, widths = (
            _of_each(name, value, d_model, nhead)
            for name, value in (("rank", self.rank), ("width", self.width))
        )
        return PoolShape(
            slots,
            ranks,
            widths,
            _room("max_rank", self.max_rank, ranks),
            _room("max_width", self.max_width, widths),
        )


def pool_of(pool: object) -> PoolConfig:
    """Return a pool that was given; None: that of a transformer.

    Raises
    ------
    ValueError
        If it is no `PoolConfig`.
    """
    if pool is None:
        return PoolConfig()
    if not isinstance(pool, PoolConfig):
        raise ValueError(f"pool must be a PoolConfig, but is a {type(pool).__name__}")
    return pool


def _of_each(name: str, value: int | tuple[int, ...] | None, d_model: int, nhead: int) -> tuple[int, ...]:
    if value is None and d_model % nhead:
        raise ValueError(
            f"nhead must divide d_model, {d_model}, evenly, which {nhead} does not, or pool must set {name}"
        )
    if isinstance(value, tuple):
        if len(value) != nhead:
            raise ValueError(
                f"{name} must be one number, or {nhead}, one for each head, but has {len(value)}"
            )
        return value
    return (d_model // nhead if value is None else value,) * nhead


def _room(name: str, value: int | None, sizes: tuple[int, ...]) -> int:
    if value is not None and value < max(sizes):
        raise ValueError(f"{name} must be at least {max(sizes)}, as the largest head has, but is {value}")
    return max(sizes) if value is None else value
