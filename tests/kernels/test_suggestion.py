from kernels.suggestion import did_you_mean


def test_the_nearest_known_name_is_suggested_and_none_that_is_far():
    assert did_you_mean("sinkhornn", ("topk", "sinkhorn", "bias")) == "; did you mean 'sinkhorn'?"
    assert did_you_mean("router", ("topk", "sinkhorn", "bias")) == ""
    assert did_you_mean(3, {"topk": 1}) == ""


def test_letters_of_the_other_case_are_nearer_than_other_letters():
    assert did_you_mean("MoeConfig", ("ModelConfig", "MoEConfig")) == "; did you mean 'MoEConfig'?"
