"""Rate networks: what is drawn, Dale's principle, lesions, files, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recurra.errors import OptionError, RecurraError, ShapeError, StoreError
from recurra.rate.connectivity import pairings
from recurra.rate.files import load_net, save_net
from recurra.rate.model import FR_RNN_dale, eval_rnn, loss_op

GOLDEN = Path(__file__).parent / "golden" / "spikernn_trained_gonogo.mat"
SETTINGS, SIGMOID = {"T": 10, "DeltaT": 1}, {"activation": "sigmoid"}


def make(size=60, P_inh=0.2, P_rec=0.3, som=0, dist="gaus", gain=1.5, dale=True, w_in=None, w_out=None, **more):
    w_in = np.ones((size, 1)) if w_in is None else w_in
    w_out = np.ones((1, size)) if w_out is None else w_out
    return FR_RNN_dale(size, P_inh, P_rec, w_in, som, dist, gain, dale, w_out, **more)


def test_the_same_seed_draws_the_same_network_and_another_does_not():
    assert np.array_equal(make(seed=1).w, make(seed=1).w)
    assert not np.array_equal(make(seed=1).w, make(seed=2).w)
    assert not np.array_equal(make(seed=1).inh, make(seed=2).inh)
    net = make(seed=1)
    assert np.array_equal(net.initialize_W()[0], net.w) and np.array_equal(net.assign_exc_inh()[0], net.inh)


def test_gaussian_weights_have_their_scale():
    net = make(400, P_rec=0.2, gain=1.5, seed=3)
    present = net.w[net.w > 0]
    assert np.mean(net.w > 0) == pytest.approx(0.2, abs=0.01)
    # Absolute values of a normal distribution: mean sd * sqrt(2 / pi).
    assert present.mean() == pytest.approx(1.5 / np.sqrt(80) * np.sqrt(2 / np.pi), rel=0.02)
    assert pytest.approx(80, abs=25) == net.NI and net.NI + net.NE == 400


def test_gamma_weights_have_their_moments():
    present = make(400, dist="GAMMA", P_rec=0.2, seed=3).w
    present = present[present > 0]
    assert present.mean() == pytest.approx(2 * 0.003, rel=0.03)
    assert present.std() == pytest.approx(np.sqrt(2) * 0.003, rel=0.03)


def test_signs_belong_to_the_presynaptic_unit():
    net = make(som=4, P_inh=0.4)
    assert np.array_equal(net.effective_w, np.maximum(net.w, 0) @ net.mask * net.som_mask)
    assert np.all(net.effective_w[:, net.inh[:, 0]] <= 0) and np.all(net.effective_w[:, net.exc[:, 0]] >= 0)


def test_units_with_somatostatin_get_excitatory_input_only():
    net = make(som=5, P_inh=0.4)
    inhibitory = np.flatnonzero(net.inh)
    assert np.array_equal(net.som_inh, inhibitory[:5])
    assert np.all(net.effective_w[np.ix_(net.som_inh, inhibitory)] == 0)
    assert np.any(net.effective_w[np.ix_(net.som_inh, np.flatnonzero(net.exc))] > 0)
    assert np.any(net.effective_w[np.ix_(inhibitory, net.som_inh)] < 0)


def test_without_dale_weights_have_any_sign():
    net = make(dale=False)
    assert net.NI == 0 and np.any(net.effective_w < 0) and np.array_equal(net.effective_w, net.w)


def test_lesions_take_connections_that_act():
    net = make(100, seed=4)
    net.w[net.w > 0.1] *= -1  # dead: relu silences them
    before = net.effective_w
    count = int((before != 0).sum())
    net.lesion_w(0.29, seed=7)
    assert int((net.effective_w != 0).sum()) == count - int(0.29 * count)
    half = make(100, seed=4)
    half.lesion_w(1.0, 0.5, exclude_self=True)
    diagonal = np.eye(100, dtype=bool)
    assert np.array_equal(half.effective_w[diagonal], make(100, seed=4).effective_w[diagonal])
    assert np.array_equal(half.effective_w[~diagonal], 0.5 * make(100, seed=4).effective_w[~diagonal])


def test_lesions_by_type_take_the_same_part_of_each():
    net, whole = make(100, P_inh=0.3, seed=4), make(100, P_inh=0.3, seed=4)
    net.lesion_w_by_type(0.5)
    for pair, members in pairings(net.inh).items():
        before = int(np.sum(whole.effective_w[members] != 0))
        assert int(np.sum(net.effective_w[members] != 0)) == before - int(0.5 * before), pair


def test_pairings_name_the_target_first():
    inh = np.array([[False], [True]])
    assert np.array_equal(pairings(inh)["EI"], [[False, True], [False, False]])
    assert np.array_equal(pairings(inh)["IE"], [[False, False], [True, False]])


def test_a_copy_is_independent():
    net = make()
    other = net.copy()
    other.lesion_w(1.0)
    assert np.any(net.effective_w != 0) and not np.any(other.effective_w)


@pytest.mark.parametrize("name", ["net.npz", "net.mat"])
@pytest.mark.parametrize("dale", [True, False])
def test_files_keep_what_a_network_does(tmp_path, name, dale):
    net = make(30, som=2 if dale else 0, dale=dale, seed=5, taus=(3.0, 9.0), activation="softplus", P_inh=0.4)
    net.b_out, net.w = 0.25, np.where(net.w > 0.2, -net.w, net.w)
    net.save(tmp_path / name)
    found = make(5).load_net(tmp_path / name)
    assert np.array_equal(found.effective_w, net.effective_w)
    stim = np.ones((1, 12))
    for one, other in zip(eval_rnn(found, {"T": 12, "DeltaT": 1}, stim), eval_rnn(net, {"T": 12, "DeltaT": 1}, stim),
                          strict=True):  # fmt: skip
        assert np.array_equal(one, other)
    assert found.som_N == net.som_N and found.apply_dale == dale


def test_a_mat_file_holds_raw_or_rectified_weights(tmp_path):
    from scipy.io import loadmat

    net = make(20)
    net.w[0] *= -1
    save_net(net, tmp_path / "a.mat")
    save_net(net, tmp_path / "b.mat", rectified=False, extra={"opt_scaling_factor": 40.0})
    assert loadmat(tmp_path / "a.mat")["w"].min() == 0
    raw = loadmat(tmp_path / "b.mat")
    assert np.array_equal(raw["w"], net.w) and raw["opt_scaling_factor"] == 40.0
    assert np.array_equal(load_net(tmp_path / "a.mat").effective_w, load_net(tmp_path / "b.mat").effective_w)


def test_damaged_files_are_refused(tmp_path):
    from scipy.io import loadmat, savemat

    whole = GOLDEN.read_bytes()
    (tmp_path / "cut.mat").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.mat").write_text("no such thing")
    content = {name: value for name, value in loadmat(GOLDEN).items() if not name.startswith("__")}
    savemat(tmp_path / "less.mat", {name: value for name, value in content.items() if name != "w_out"})
    savemat(tmp_path / "shape.mat", content | {"som_m": np.ones((3, 3))})
    savemat(tmp_path / "nan.mat", content | {"w": content["w"] * np.nan})
    savemat(tmp_path / "signs.mat", content | {"m": 2 * content["m"]})
    savemat(tmp_path / "other.mat", content | {"inh": 1 - content["inh"]})
    for name, message in {
        "cut.mat": "not a readable", "text.mat": "not a readable", "less.mat": "w_out missing", "shape.mat": "som_mask",
        "nan.mat": "not finite", "signs.mat": "no diagonal", "other.mat": "different units", "none.mat": "no such file",
    }.items():  # fmt: skip
        with pytest.raises(StoreError, match=message):
            load_net(tmp_path / name)
    (tmp_path / "cut.npz").write_bytes(b"PK")
    with pytest.raises(StoreError):
        load_net(tmp_path / "cut.npz")


BAD = [
    (lambda: make(P_inh=1.5), OptionError, "P_inh must be a number from 0 to 1, got 1.5"),
    (lambda: make(P_inh=-0.1), OptionError, "P_inh"),
    (lambda: make(P_rec=2), OptionError, "P_rec"),
    (lambda: make(P_rec=np.nan), OptionError, "P_rec"),
    (lambda: make(P_inh="x"), OptionError, "P_inh"),
    (lambda: make(size=0, w_in=np.ones((1, 1)), w_out=np.ones((1, 1))), OptionError, "N must be"),
    (lambda: make(som=61), OptionError, "som_N = 61 is more than"),
    (lambda: make(som=1, dale=False), OptionError, "more than the 0 inhibitory"),
    (lambda: make(som=-1), OptionError, "som_N must be"),
    (lambda: make(dist="gauss"), OptionError, "unknown w_dist 'gauss'. Did you mean 'gaus'"),
    (lambda: make(gain=0), OptionError, "gain must be"),
    (lambda: make(w_in=np.ones((60, 60, 1))), ShapeError, r"w_in: got shape \(60, 60, 1\)"),
    (lambda: make(w_in=np.ones((59, 1))), ShapeError, r"expected numbers \(60, any\)"),
    (lambda: make(w_in=np.full((60, 1), np.inf)), ShapeError, "w_in holds values that are not finite"),
    (lambda: make(w_out=np.ones((60, 1))), ShapeError, "w_out"),
    (lambda: make(seed=-1), OptionError, "seed"),
    (lambda: make(taus=(20.0, 4.0)), OptionError, "taus"),
    (lambda: make(taus=(1.0, 2.0, 3.0)), ShapeError, "taus"),
    (lambda: make(activation="sigmod"), OptionError, "unknown activation 'sigmod'. Did you mean 'sigmoid'"),
    (lambda: make().forward(np.ones((1, 8)), [4, 20], SIGMOID, SETTINGS), ShapeError, "shorter than the trial"),
    (lambda: make().forward(np.ones((2, 10)), [4, 20], SIGMOID, SETTINGS), ShapeError, "stim"),
    (lambda: make().forward(np.ones((1, 10)), [4, 20], {}, SETTINGS), OptionError, "no 'activation'"),
    (lambda: make().forward(np.ones((1, 10)), [4, 20], SIGMOID, {"T": 10}), OptionError, "no 'DeltaT'"),
    (lambda: make().forward(np.ones((1, 10)), [4, 20], {"activation": "tanh"}, SETTINGS), OptionError, "activation"),
    (lambda: make().forward(np.ones((1, 10)), [4, 20], SIGMOID, {"T": 1, "DeltaT": 1}), OptionError, "T must be"),
    (lambda: make().simulate(np.ones((1, 10)), noise="khim"), OptionError, "unknown noise"),
    (lambda: make().lesion_w(1.5), OptionError, "lesion_percentage must be"),
    (lambda: make().lesion_w(0.5, -1), OptionError, "lesion_scale must be"),
    (lambda: make().lesion_w_by_type(-0.5), OptionError, "lesion_percentage"),
    (lambda: loss_op([np.ones((1, 1))], np.ones(1), {"loss_fn": "l3"}), OptionError, "unknown loss_fn 'l3'"),
    (lambda: loss_op([np.ones((1, 1))], np.ones(1), {}), OptionError, "no 'loss_fn'"),
    (lambda: loss_op([np.ones((1, 1))] * 5, np.ones(3), {"loss_fn": "l1"}), ShapeError, "5 outputs"),
    (lambda: eval_rnn(np.ones(3), SETTINGS, np.ones((1, 10))), OptionError, "expected a FR_RNN_dale"),  # type: ignore
]


@pytest.mark.parametrize(("wrong", "kind", "message"), BAD)
def test_bad_input_is_refused(wrong, kind, message):
    with pytest.raises(RecurraError, match=message) as caught:
        wrong()
    assert type(caught.value) is kind


def test_losses_are_sums_not_means():
    o, z = [np.full((1, 1), v) for v in (1.0, -2.0, 2.0)], np.zeros(3)
    assert loss_op(o, z, {"loss_fn": "L1"}) == 5.0
    assert loss_op(o, z, {"loss_fn": "l2"}) == 3.0


def test_the_published_tuple():
    net = make(8)
    found = net.forward(np.ones((1, 10)), [4, 20], SIGMOID, SETTINGS)
    stim, x, r, o, w, w_in, mask, som_mask, w_out, b_out, gaus = found
    assert (len(x), len(r), len(o)) == (10, 10, 9)
    assert x[0].shape == r[0].shape == (8, 1) and o[0].shape == (1, 1)
    assert stim.shape == (1, 10) and w is net.w and gaus is net.taus_gaus and b_out == 0.0
    assert w_in.shape == (8, 1) and w_out.shape == (1, 8) and mask.shape == som_mask.shape == (8, 8)
    again = net.forward(np.ones((1, 10)), [4, 20], SIGMOID, SETTINGS)
    assert np.array_equal(np.array(x), np.array(again[1]))
