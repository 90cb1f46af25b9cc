from dataclasses import asdict
from types import SimpleNamespace

from runs.rounds.told import progress_of, standing_of
from tests.faults.fake_trainers import Play, ledger_config


def test_it_is_what_the_summary_and_the_censuses_of_the_round_say():
    config = ledger_config(rounds=4)
    play = Play(config).to_the_end()
    closed = play.rounds[-1]
    dispatcher = SimpleNamespace(waiting=7, pool=SimpleNamespace(workers=["a", "b"]))
    progress = progress_of(closed, play.ledger, config)
    standing = standing_of(closed, play.ledger, config, dispatcher)
    summaries = [dict(each.items)["summary"] for each in play.rounds]
    last = summaries[-1]
    agreed = {"round": 4, "rounds": 4, "loss": last["mean_loss"], "score": last["best_validation_score"]}
    agreed |= {name: last[name] for name in ("coverage", "qd_score", "temperature")}
    agreed |= {name: sum(each[name] for each in summaries) for name in ("births", "deaths")}
    assert agreed["births"] > 0
    assert asdict(progress) == agreed | {"stage": "rounds", "done": 1.0, "message": ""}
    assert asdict(standing) == agreed | {
        "elites": round(last["coverage"] * len(play.ledger.centroids)),
        "alive": last["alive"],
        "organisms": 3,
        "waiting": 7,
        "workers": 2,
    }


def test_the_share_that_is_done_counts_the_rounds_that_are_journaled():
    config = ledger_config(rounds=4)
    play = Play(config).to_the_end()
    done = [progress_of(closed, play.ledger, config).done for closed in play.rounds]
    assert done == [0.25, 0.5, 0.75, 1.0]
