import pytest
from pydantic import ValidationError

from organisms.layers.config import AttentionConfig, ExpertConfig


@pytest.mark.parametrize("section", [ExpertConfig, AttentionConfig])
def test_every_key_is_described_and_no_value_can_be_changed_or_made_up(section):
    assert all(field.description for field in section.model_fields.values())
    with pytest.raises(ValidationError, match="frozen"):
        setattr(section(), next(iter(section.model_fields)), 1)
    with pytest.raises(ValidationError, match="Extra inputs"):
        section(unknown=1)


def test_types_are_strict_and_numbers_finite():
    with pytest.raises(ValidationError, match="valid integer"):
        ExpertConfig(d_hidden="64")
    with pytest.raises(ValidationError, match="finite"):
        AttentionConfig(rope_base=float("inf"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"n_heads": 6, "n_kv_heads": 4}, "n_kv_heads must divide n_heads, 6, evenly, which 4 does not"),
        ({"rotary_dim": 3}, "rotary_dim must be even, not 3"),
    ],
)
def test_heads_that_cannot_be_are_one_sentence(options, sentence):
    with pytest.raises(ValidationError, match=sentence):
        AttentionConfig(**options)


@pytest.mark.parametrize(
    ("width", "options", "sentence"),
    [
        (100, {}, "n_heads must divide d_model, 100, evenly, which 8 does not"),
        (72, {}, "a head of 9 coordinates, d_model 72 by n_heads 8, cannot be rotated whole"),
        (64, {"rotary_dim": 10}, "rotary_dim must be at most the width of a head, 8, not 10"),
        (
            64,
            {"rotary_dim": 2, "rope_scaling": "ntk"},
            "rope_scaling ntk must have 4 coordinates .* not 2: set",
        ),
        (16, {"rope_scaling": "ntk"}, "rope_scaling ntk must have 4 coordinates to rotate, .* not 2: set"),
    ],
)
def test_a_width_that_heads_do_not_fit_is_one_sentence(width, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        AttentionConfig(**options).head_width(width)


def test_heads_share_the_width():
    assert AttentionConfig().head_width(64) == 8
    assert AttentionConfig(rope=False).head_width(72) == 9
    assert AttentionConfig(rotary_dim=4).head_width(72) == 9
    assert AttentionConfig(rope=False, rope_scaling="ntk").head_width(16) == 2
    assert AttentionConfig(rope_scaling="ntk").head_width(32) == 4
