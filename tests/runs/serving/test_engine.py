from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.serving.engine import keys
from runs.serving.generation import Done, Failed, Piece
from runs.serving.sampling import Choice, draw, next_symbols
from tests.fixtures.exact_rows import assert_same_rows, exact_rows
from tests.runs.serving.small import Clock, ended, engine, generation, model, numbers, symbols

requests = st.builds(
    generation,
    st.lists(st.sampled_from([1, 2, 19]), min_size=1, max_size=20),
    st.integers(1, 5),
    temperature=st.sampled_from([0.0, 0.7, 1.0]),
    top_k=st.sampled_from([0, 3]),
    top_p=st.sampled_from([0.8, 1.0]),
    seed=st.integers(0, 3),
    use_cache=st.booleans(),
    reuse_prefix=st.booleans(),
    client=st.sampled_from("ab"),
)


@pytest.mark.parametrize("kind", ["experts", "flow"])
@settings(max_examples=12)
@given(asked=st.lists(requests, min_size=1, max_size=7), sizes=st.sampled_from([(1, 3), (4, 8)]))
def test_a_request_is_answered_the_same_alone_and_in_any_company(kind, asked, sizes):
    slots, chunk = sizes
    together = ended(engine(symbols(), kind, max_batch_size=slots, prefill_chunk=chunk), *asked)
    for each, found in zip(asked, together, strict=True):
        (alone,) = ended(engine(symbols(), kind), each)
        assert found.new_tokens == alone.new_tokens
        assert len(found.new_tokens) == each.max_new_tokens


@exact_rows
@pytest.mark.parametrize("kind", ["experts", "transformer"])
def test_numbers_are_the_same_in_every_bit_alone_and_in_company_with_and_without_caches(kind):
    signal = [(0.1 * at, -0.5) for at in range(40)]
    asked = [
        generation(signal[: 5 * number + 1], 6, use_cache=number % 3 != 2, reuse_prefix=number % 2 == 0)
        for number in range(7)
    ]
    together = ended(engine(numbers(2), kind), *asked)
    for each, found in zip(asked, together, strict=True):
        for use_cache in (True, False):
            (alone,) = ended(engine(numbers(2), kind), replace(each, use_cache=use_cache))
            assert alone.new_tokens == found.new_tokens


@pytest.mark.parametrize("kind", ["experts", "flow"])
def test_the_likeliest_symbols_are_those_of_the_model_called_by_itself(kind):
    prompt = [3, 1, 4, 1, 5]
    (found,) = ended(engine(symbols(), kind), generation(prompt, 8, temperature=0.0))
    tokens, own = list(prompt), model(symbols(), kind)
    for _ in range(8):
        with torch.no_grad():
            tokens.append(int(own(torch.tensor([tokens]))[0][0, -1].argmax()))
    assert found.new_tokens == tuple(tokens[5:])


def test_symbols_are_drawn_by_the_seed_and_the_number_of_the_new_token():
    (found,) = ended(engine(symbols()), generation([3, 1], 8, temperature=0.9, top_k=7, top_p=0.95, seed=6))
    tokens, own = [3, 1], model(symbols())
    for step in range(8):
        with torch.no_grad():
            logits = own(torch.tensor([tokens]))[0][0, -1:]
        tokens += next_symbols(logits, [Choice(0.9, 7, 0.95, draw(6, step))])
    assert found.new_tokens == tuple(tokens[2:])


def test_numbers_that_are_predicted_are_those_of_the_model_called_by_itself():
    values = [(0.5,), (-0.25,), (1.0,)]
    (found,) = ended(engine(numbers(), "flow"), generation(values, 3))
    own = model(numbers(), "flow")
    for token in found.new_tokens:
        with torch.no_grad():
            assert own(torch.tensor([values]))[0][0, -1].tolist() == pytest.approx(token, rel=0, abs=1e-6)
        values.append(token)


def test_what_reads_whole_sequences_reads_at_most_its_window():
    at = engine(numbers(), "flow")
    long = [(0.1 * at,) for at in range(100)]
    whole, end = ended(at, generation(long, 3), generation(long[-16:], 3))
    assert whole.new_tokens == end.new_tokens
    assert at.prefixes.entries == 0
    assert at.reader.description.startswith("for each new token the last 16 tokens are read again: ")


@exact_rows
def test_logits_of_a_flow_are_the_same_in_every_bit_alone_in_company_with_and_without_caches():
    seen, text = {}, [(7 * at) % 20 for at in range(90)]

    def run(at, *asked):
        read = at.reader.read

        def told(works):
            outputs = read(works)
            for work, row in zip(works, outputs, strict=True):
                slots = {each.slot: each.generation.request_id for each in at.running}
                seen.setdefault((slots[work.slot], work.start + len(work.tokens)), []).append(row)
            return outputs

        at.reader.read = told
        ended(at, *asked)

    asked = [
        generation(
            text[: 12 * number + 1], 5, request_id=str(number), temperature=0.0, reuse_prefix=number % 2 == 0
        )
        for number in range(7)
    ]
    run(engine(symbols(), "flow"), *asked, *asked)  # the second time from kept beginnings
    for each in asked:
        for use_cache in (True, False):
            run(engine(symbols(), "flow", prefill_chunk=64), replace(each, use_cache=use_cache))
    compared = [rows for rows in seen.values() if len(rows) > 3]
    assert len(compared) >= 5 * len(asked)
    assert all(torch.equal(row, rows[0]) for rows in compared for row in rows)


@pytest.mark.parametrize("kind", ["experts", "flow"])
def test_a_beginning_is_computed_once_for_all(kind):
    at = engine(symbols(), kind)
    prompt = [7] * 30
    (first,) = ended(at, generation(prompt, 2, seed=1))
    assert (first.reused, at.counts.prompt_tokens) == (0, 30)
    (again,) = ended(at, generation([*prompt, *first.new_tokens, 3], 2, seed=1))
    assert (again.reused, at.counts.prompt_tokens) == (31, 32)  # the last new token was never read
    (own,) = ended(at, generation(prompt, 2, seed=1, reuse_prefix=False))
    assert (own.reused, own.new_tokens) == (0, first.new_tokens)
    assert at.counts.cache_hits == 1
    assert at.counts.hit_rate == pytest.approx(1 / 3)
    assert at.counts.prefix_tokens_reused == 31


def test_beginnings_of_numbers_are_shared_too():
    at = engine(numbers())
    first, second = (ended(at, generation([(0.1,), (0.2,), (last,)], 2))[0] for last in (0.3, 0.4))
    assert (first.reused, second.reused) == (0, 2)
    assert keys([(0.1,)]) == keys([(float(torch.tensor(0.1)),)])


def test_a_long_prompt_is_read_in_chunks_between_the_steps_of_others():
    at, pieces, long = engine(symbols(), prefill_chunk=8), [], []
    at.submit(generation([1], 12, streamed=True), pieces.append)
    at.step()
    at.submit(generation([2] * 60, 1), long.append)
    steps = 0
    while not long:
        at.step()
        steps += 1
    assert steps == 8  # 60 tokens by 8
    assert len([each for each in pieces if isinstance(each, Piece)]) == 1 + steps


def test_prompts_share_a_chunk_so_that_a_short_one_is_soon_done():
    at, ends = engine(symbols(), prefill_chunk=8), []
    at.submit(generation([2] * 60, 1, request_id="long"), lambda event: ends.append("long"))
    at.submit(generation([3] * 8, 1, request_id="short"), lambda event: ends.append("short"))
    steps = 0
    while len(ends) < 1:
        at.step()
        steps += 1
    assert (ends, steps) == (["short"], 2)


def test_more_requests_than_places_wait_for_their_turn():
    at = engine(symbols(), max_batch_size=2)
    found = ended(at, *(generation([1], 3, seed=each) for each in range(5)))
    assert all(isinstance(event, Done) for event in found)
    assert (at.counts.largest_batch, at.counts.completed, at.counts.new_tokens) == (2, 5, 15)


def test_tokens_are_told_one_by_one_where_that_is_asked():
    at, found = engine(symbols()), []
    at.submit(generation([1, 2], 3, streamed=True), found.append)
    while at.busy:
        at.step()
    assert [event.index for event in found[:-1]] == [0, 1, 2]
    assert tuple(event.token for event in found[:-1]) == found[-1].new_tokens


def test_a_client_that_leaves_makes_room_whether_it_waits_or_runs_or_has_ended():
    at, found = engine(symbols(), max_batch_size=1), []
    running, waiting, last = (at.submit(generation([1], 3), found.append) for _ in range(3))
    at.step()
    at.cancel(running)
    at.cancel(waiting)
    at.cancel(waiting)
    while at.busy:
        at.step()
    at.cancel(last)
    assert [type(event) for event in found] == [Done]
    assert at.counts.cancelled == 2


def test_what_takes_too_long_is_ended_whether_it_waits_or_runs():
    clock = Clock()
    at, found = engine(symbols(), clock=clock, max_batch_size=1, timeout=2.0), []
    for _ in range(2):
        at.submit(generation([1], 100), found.append)
    at.step()
    clock.now = 1.9
    at.step()
    assert found == []
    clock.now = 2.0
    at.step()
    assert [event.status for event in found] == [504, 504]
    assert "2 of 100 new tokens were done" in " ".join(event.sentence for event in found)
    assert not at.busy
    assert at.counts.timed_out == 2


def test_times_are_from_arrival_to_turn_first_token_and_end():
    clock = Clock()
    at, found = engine(symbols(), clock=clock, max_batch_size=1), []
    for _ in range(2):
        at.submit(generation([1], 2), found.append)
    for now in (1.0, 2.0, 4.0, 8.0):
        clock.now = now
        at.step()
    assert [(each.waited, each.first, each.total) for each in found] == [(1, 1, 2), (4, 4, 8)]


def test_only_the_request_at_fault_fails_and_its_place_is_clean_for_the_next(monkeypatch):
    at = engine(numbers(), max_batch_size=2)
    read = at.reader.read

    def picky(works):
        if any(token > (1e30,) for work in works for token in work.tokens):
            raise ValueError("a token is huge")
        return read(works)

    monkeypatch.setattr(at.reader, "read", picky)
    huge, good = ended(at, generation([(1e38,)], 2), generation([(0.5,)], 2))
    assert huge == Failed(422, "the model cannot read these tokens: a token is huge")
    assert good.new_tokens == ended(engine(numbers()), generation([(0.5,)], 2))[0].new_tokens
    after = ended(at, *(generation([(0.5,)], 2, reuse_prefix=False) for _ in range(2)))
    assert_same_rows([each.new_tokens for each in after], [good.new_tokens] * 2)


def test_an_answer_that_is_not_finite_is_a_failure():
    at = engine(numbers(), "transformer")
    (found,) = ended(at, generation([(3e38,)], 2))
    assert isinstance(found, Failed)
    assert found.sentence == "what the model answers is not finite after 0 new tokens"
    (good,) = ended(at, generation([(0.5,)], 2))
    assert isinstance(good, Done)


@pytest.mark.parametrize("timeout", [1.0, 100.0])
def test_who_fails_leaves_a_clean_place(timeout):
    clock = Clock()
    at, found = engine(numbers(), "transformer", clock, max_batch_size=1, timeout=timeout), []
    at.submit(generation([(3e38,)] * 12, 2), found.append)  # read by two steps
    at.step()
    clock.now = 2.0
    at.step()
    assert [event.status for event in found] == [504 if timeout == 1 else 422]
    (good,) = ended(at, generation([(0.5,)], 2))
    assert good.new_tokens == ended(engine(numbers(), "transformer"), generation([(0.5,)], 2))[0].new_tokens


def test_a_client_that_leaves_before_its_prompt_is_read_leaves_a_clean_place():
    at, found = engine(numbers(), "transformer", max_batch_size=1, prefill_chunk=4), []
    leaving = at.submit(generation([(3e38,)] * 12, 2), found.append)
    at.step()
    at.cancel(leaving)
    (good,) = ended(at, generation([(0.5,)], 2))
    assert good.new_tokens == ended(engine(numbers(), "transformer"), generation([(0.5,)], 2))[0].new_tokens
    assert found == []


def test_all_are_told_when_the_engine_has_failed():
    at, found = engine(symbols(), max_batch_size=1), []
    for _ in range(2):
        at.submit(generation([1], 3), found.append)
    at.step()
    at.fail_all(500, "no more")
    assert found == [Failed(500, "no more")] * 2
    assert not at.busy


@settings(max_examples=20)
@given(st.lists(requests, max_size=12), st.integers(0, 4), st.integers(0, 40))
def test_the_limits_of_the_cache_hold_after_every_step(asked, entries, tokens):
    at = engine(symbols(), kv_cache_size=entries, kv_cache_max_tokens=tokens)
    for each in asked:
        at.submit(each, lambda event: None)
    while at.busy:
        at.step()
        assert at.prefixes.entries <= entries
        assert at.prefixes.tokens <= tokens
    assert at.counts.completed == len(asked)


@exact_rows
def test_widths_and_lengths_of_real_models_are_the_same_in_every_bit_too():
    from runs.models.architectures import build
    from runs.models.options import ExpertsOptions, ModelChoice
    from runs.serving.engine import Engine
    from runs.serving.limits import Limits
    from runs.serving.readers import reader_of

    block = {
        "moe": {"d_model": 256, "router": {"n_experts": 8, "init_scale": 2.0}, "expert": {"d_hidden": 512}},
        "attention": {"n_heads": 8, "n_kv_heads": 4},
    }
    made = build(
        numbers(3),
        ModelChoice(experts=ExpertsOptions.model_validate({"block": block})),
        torch.Generator().manual_seed(0),
    ).eval()

    def fresh(slots, chunk):
        kept = Limits(max_batch_size=slots, prefill_chunk=chunk)
        return Engine(reader_of(made, numbers(3), slots), discrete=False, limits=kept, clock=Clock())

    walk = torch.randn(700, 3, generator=torch.Generator().manual_seed(1)).cumsum(0) / 8
    tokens = [tuple(row) for row in walk.tolist()]
    asked = [generation(tokens[: 60 * number + 3], 5, use_cache=number != 3) for number in range(11)]
    together = ended(fresh(16, 96), *asked)
    for number in (0, 3, 4, 10):
        (alone,) = ended(fresh(1, 64), asked[number])
        assert alone.new_tokens == together[number].new_tokens
