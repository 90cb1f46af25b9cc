import pytest

from runs.errors import ConfigError
from runs.serving.limits import Limits, limits


def test_what_is_not_given_is_the_default():
    assert limits() == Limits()
    assert limits(timeout=3, max_body=None) == Limits(timeout=3.0)
    assert (Limits().max_batch_size, Limits().kv_cache_size, Limits().kv_cache_max_tokens) == (
        32,
        1000,
        1_000_000,
    )  # the document's


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"max_batch_size": 0}, "--max-batch-size: must be at least 1, not 0"),
        ({"kv_cache_max_tokens": -1}, "--kv-cache-max-tokens: must be at least 0, not -1"),
        ({"timeout": float("inf")}, "--timeout: must be a finite number, not Infinity"),
        (
            {"max_tokens": 10, "max_new_tokens": 10},
            "^max_new_tokens must be less than max_tokens, 10, not 10$",
        ),
    ],
)
def test_other_limits_are_refused_by_the_names_of_the_options(given, told):
    with pytest.raises(ConfigError, match=told):
        limits(**given)
