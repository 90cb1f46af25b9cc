import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.errors import ConfigError
from runs.models.architectures import BUILDERS, build
from runs.models.options import ARCHITECTURES, ModelChoice
from runs.models.signature import Signature
from tests.fixtures.small_trainings import SIZES

KINDS = sorted(ARCHITECTURES)
TASKS = ("class", "token", "value", "sequence")


def choice_of(kind, **options):
    return ModelChoice.model_validate({"kind": kind, kind: SIZES[kind] | options})


def signature_of(kind="sequence", tokens="continuous", causal=True, features=3, outputs=2):
    return Signature("mine", kind, tokens, features, outputs, 6, causal)


def model_of(kind, signature, seed=0, **options):
    return build(signature, choice_of(kind, **options), torch.Generator().manual_seed(seed)).eval()


def tokens_of(signature, examples=4, length=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    if signature.tokens == "discrete":
        return torch.randint(signature.features, (examples, length), generator=generator)
    return torch.randn(examples, length, signature.features, generator=generator)


@pytest.mark.parametrize("tokens", ["continuous", "discrete"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_architecture_answers_every_kind_of_task_and_learns_from_it(kind, task, tokens):
    signature = signature_of(task, tokens, causal=task in ("token", "sequence"))
    model = model_of(kind, signature).train()
    outputs, metrics = model(tokens_of(signature), None, torch.Generator().manual_seed(1))
    assert outputs.shape == ((4, 6, 2) if signature.per_position else (4, 2))
    assert outputs.dtype == torch.float32
    (outputs.square().mean() + metrics.get("aux_total", torch.zeros(()))).backward()
    assert all(each.grad is not None and bool(each.grad.isfinite().all()) for each in model.parameters())


def test_every_name_of_an_architecture_has_a_builder():
    assert set(BUILDERS) == set(ARCHITECTURES) < set(ModelChoice.model_fields)


@pytest.mark.parametrize("kind", KINDS)
def test_a_language_model_answers_with_a_logit_of_each_symbol(kind):
    signature = signature_of("token", "discrete", features=5, outputs=5)
    assert model_of(kind, signature)(tokens_of(signature))[0].shape == (4, 6, 5)


@pytest.mark.parametrize("tokens", ["continuous", "discrete"])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15)
@given(st.integers(1, 5), st.integers(0, 99))
def test_a_causal_model_does_not_look_ahead(kind, tokens, place, seed):
    same = 4 if tokens == "discrete" else 2  # of as many symbols as outputs others are built
    signature = signature_of(
        "token" if tokens == "discrete" else "sequence", tokens, features=4, outputs=same
    )
    model, first = model_of(kind, signature), tokens_of(signature, seed=seed)
    second = first.clone()
    second[:, place:] = tokens_of(signature, seed=seed + 1)[:, place:]
    before, after = model(first)[0], model(second)[0]
    assert torch.allclose(before[:, :place], after[:, :place], atol=1e-5)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"towers"}))
def test_a_model_that_may_look_ahead_does(kind):
    signature = signature_of(causal=False)
    model, first = model_of(kind, signature), tokens_of(signature)
    second = first.clone()
    second[:, -1] += 1
    assert not torch.allclose(model(first)[0][:, 0], model(second)[0][:, 0], atol=1e-6)


@pytest.mark.parametrize("task", ["class", "sequence"])
@pytest.mark.parametrize("kind", ["experts", "transformer", "pseudopods"])
def test_padding_changes_nothing_whatever_it_holds(kind, task):
    signature = signature_of(task, causal=task == "sequence")
    model, tokens = model_of(kind, signature), tokens_of(signature, length=4)
    padded = torch.cat([tokens, torch.full((4, 2, 3), 7.0)], 1)
    mask = torch.arange(6).expand(4, -1) < 4
    alone, beside = model(tokens)[0], model(padded, mask)[0]
    assert torch.allclose(alone, beside[:, :4] if signature.per_position else beside, atol=1e-5)


@pytest.mark.parametrize("kind", ["flow", "towers"])
def test_what_reads_no_padding_says_so(kind):
    signature = signature_of()
    mask = torch.arange(6).expand(4, -1) < 4
    with pytest.raises(ValueError, match="this architecture reads no padding"):
        model_of(kind, signature)(tokens_of(signature), mask)
    everything = torch.ones(4, 6, dtype=torch.bool)
    model_of(kind, signature)(tokens_of(signature), everything)


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_are_drawn_from_the_generator_alone(kind):
    signature = signature_of()
    torch.manual_seed(1)
    first = model_of(kind, signature).state_dict()
    torch.manual_seed(2)
    same, other = model_of(kind, signature).state_dict(), model_of(kind, signature, seed=1).state_dict()
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(
    ("kind", "task", "options", "told"),
    [
        ("towers", {}, {"n_heads": 2}, r"model\.towers does not fit .*set model\.towers\.n_heads to 0"),
        ("pseudopods", {}, {"d_model": 15}, r"model\.pseudopods does not fit the task 'mine'"),
        (
            "towers",
            {},
            {"fusion": "vote"},
            r"model\.towers does not fit the task 'mine': fusion is 'vote'",
        ),
    ],
)
def test_options_that_do_not_fit_are_named(kind, task, options, told):
    with pytest.raises(ConfigError, match=told):
        model_of(kind, signature_of(**task), **options)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("no_module", r"must return a torch\.nn\.Module, not a int"),
        ("unbuildable", r"own_models:unbuildable failed: KeyError: 'width' \(own_models\.py, line"),
    ],
)
def test_a_builder_of_the_user_s_own_is_told_what_it_did(name, told):
    with pytest.raises(ConfigError, match=told):
        build(signature_of(), ModelChoice(kind=f"tests.fixtures.own_models:{name}"), torch.Generator())
