"""The loop of a training: criteria, curricula, resuming, networks side by side, the history."""

from __future__ import annotations

import numpy as np
import pytest

from recurra.errors import StoreError
from recurra.rate.evaluation import evaluate
from recurra.rate.model import FR_RNN_dale
from recurra.rate.tasks import GoNoGo
from recurra.rate.training import Criterion, train

TASK = GoNoGo(fixation=50.0, stimulus=50.0, response=100.0)
EASY = Criterion(loss=100.0, accuracy=0.0, trials=20)
NEVER = Criterion(loss=1e-9, trials=4)


def make(seed: int = 0, size: int = 16, inputs: int = 1, **more) -> FR_RNN_dale:
    rng = np.random.default_rng(seed)
    w_in, w_out = rng.normal(size=(size, inputs)), rng.normal(size=(1, size)) / 10
    return FR_RNN_dale(size, 0.3, 0.4, w_in, more.pop("som", 0), "gaus", 1.5, True, w_out, seed=seed, **more)


def short(net, task=TASK, **options):
    options = {"updates": 6, "evaluate_every": 3, "criterion": NEVER, "progress": False, **options}
    return train(net, task, **options)


def test_resuming_changes_nothing(tmp_path):
    file = tmp_path / "net.npz"
    whole = short(make(), updates=9)
    short(make(), updates=6, checkpoint=file)
    resumed = short(make(), updates=9, checkpoint=file, resume=True)
    for name in ("w", "w_out", "taus_gaus"):
        assert np.array_equal(getattr(resumed.net, name), getattr(whole.net, name))
    assert np.array_equal(resumed.history["accuracy"], whole.history["accuracy"])
    assert resumed.history.losses == whole.history.losses and len(whole.history.losses) == 9
    with pytest.raises(StoreError, match=r"differs: lr was 0\.01, now it is 0\.5"):
        short(make(), updates=9, checkpoint=file, resume=True, lr=0.5)


@pytest.mark.parametrize("criterion, stopped", [(NEVER, "updates used up"), (EASY, "criterion met")])
def test_resuming_what_has_ended_returns_it(tmp_path, criterion, stopped):
    options = {"updates": 6, "criterion": criterion, "checkpoint": tmp_path / "net.npz"}
    whole = short(make(), **options)
    again = short(make(), resume=True, **options)
    assert whole.stopped == again.stopped == stopped
    assert np.array_equal(again.net.w, whole.net.w) and again.history.losses == whole.history.losses


def test_networks_side_by_side_learn_as_each_alone():
    nets = [make(seed) for seed in (0, 1)]
    together = short(nets, precision="float64", seed=5)
    assert not np.allclose(together[0].net.w, together[1].net.w)
    alone = short(nets[1], precision="float64", seed=6)
    assert np.abs(together[1].net.w - alone.net.w).max() < 1e-9
    assert np.abs(together[1].history["evaluation_loss"] - alone.history["evaluation_loss"]).max() < 1e-9


def test_the_criterion_ends_a_training_and_the_curriculum_goes_on():
    found = train(make(), [TASK, TASK], updates=50, evaluate_every=2, criterion=EASY, progress=False)
    assert found.reached and found.stopped == "criterion met" and found.updates == 4
    assert found.history["stage"].tolist() == [0, 1]
    later = train(
        make(), TASK, updates=50, evaluate_every=2, criterion=Criterion(100.0, 0.0, 20, after=5), progress=False
    )
    assert later.updates == 6
    ended = short(make())
    assert not ended.reached and ended.stopped == "updates used up" and ended.updates == 6


def test_the_history_is_a_table_and_can_be_watched():
    rows = []
    found = short(make(), on_evaluation=rows.append)
    table = found.history.to_dataframe()
    assert table["updates"].tolist() == [3, 6] and table["lr"].tolist() == [0.01, 0.01]
    assert [row["accuracy"] for row in rows] == table["accuracy"].tolist()
    assert np.mean(found.history.losses[:3]) == pytest.approx(table["loss"].iloc[0])


def test_a_network_learns():
    found = train(
        make(size=40), TASK, updates=300, batch=16, lr=0.02, evaluate_every=50, progress=False,
        criterion=Criterion(loss=1.5, accuracy=0.97),
    )  # fmt: skip
    assert found.reached
    assert evaluate(found.net, TASK, 100, seed=77).accuracy > 0.9
