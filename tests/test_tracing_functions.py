"""NumPy's functions, methods and types inside a traced step, each against NumPy itself."""

import numpy as np
import pytest

from recurra.tracing import Untraceable
from tracing_checks import Thing, check, compile_rule


def thing():
    rng = np.random.default_rng(3)
    return Thing(
        x=rng.normal(size=6).astype(np.float32),
        y=rng.uniform(0.1, 2.0, 6),
        m=rng.normal(size=(4, 6)).astype(np.float32),
        w=rng.normal(size=(6, 6)),
        i=np.array([3, -2, 0, 7, 5, -9]),
        b=np.array([True, False, True, True, False, False]),
        u=np.arange(6, dtype=np.uint8),
        z=(rng.normal(size=6) + 1j * rng.normal(size=6)).astype(np.complex64),
        s=0.7,
        k=2,
        f=np.float32(1.5),
        nan=np.array([1.0, np.nan, -np.inf, np.inf, 0.0, -3.0]),
    )


def unfreeze(n):
    """Make every number one that is only known when the model runs."""
    n.x = n.x + np.float32(0.01)
    n.y = n.y + 0.01
    n.m = n.m * np.float32(1.01)
    n.w = n.w * 1.0
    n.i = n.i + 0
    n.b = n.b ^ False
    n.u = n.u + 0
    n.z = n.z * 1
    n.s += 0.0
    n.f = n.f + np.float32(0)
    n.nan = n.nan * 1.0
    n.k += 0


def check_all(expressions):
    n = thing()
    unfreeze(n)
    n.results = [e(n) for e in expressions]
    n.results = [r.copy() if isinstance(r, np.ndarray) else r for r in n.results]

    def rule(n):
        unfreeze(n)
        for at, expression in enumerate(expressions):
            n.results[at] = expression(n)

    check(rule, n, steps=2, tolerance=3e-6)


GROUPS = {
    "arithmetic": [
        lambda n: n.x + n.y,
        lambda n: n.x * n.i,
        lambda n: n.x - n.s,
        lambda n: 1 - n.x,
        lambda n: n.i / 2,
        lambda n: n.i // 2,
        lambda n: n.i % 3,
        lambda n: -7 // n.i,
        lambda n: n.i % n.i[::-1],
        lambda n: n.x // 0.3,
        lambda n: n.x % -0.3,
        lambda n: n.nan // 2.0,
        lambda n: n.nan % 2.0,
        lambda n: np.fmod(n.i, 4),
        lambda n: divmod(n.x, 0.3)[0],
        lambda n: n.x**2,
        lambda n: n.y**0.5,
        lambda n: n.y**n.x,
        lambda n: n.i**2,
        lambda n: 2.0**n.x,
        lambda n: n.b + n.b,
        lambda n: n.b * n.x,
        lambda n: n.b * 2,
        lambda n: n.b | (n.x > 0),
        lambda n: ~n.b,
        lambda n: n.b ^ True,
        lambda n: n.b & (n.i > 0),
        lambda n: n.i & 3,
        lambda n: n.i << 2,
        lambda n: n.i >> 1,
        lambda n: -n.x,
        lambda n: abs(n.i),
        lambda n: +n.x,
        lambda n: n.u + 250,
        lambda n: n.u - n.u[::-1],
        lambda n: n.u * n.x,
        lambda n: n.u * np.float64(2),
        lambda n: n.z * 2,
        lambda n: n.z * n.y,
        lambda n: abs(n.z),
        lambda n: n.z.real + n.z.imag,
        lambda n: n.z.conj() * n.z,
        lambda n: n.f * n.x,
        lambda n: n.f * n.s,
        lambda n: n.f + 1,
        lambda n: n.f * n.y,
        lambda n: n.s * n.x,
        lambda n: n.k * n.x,
        lambda n: n.x == n.x[0],
        lambda n: n.x != 0,
        lambda n: (n.x > 0) == n.b,
        lambda n: n.i < 3,
        lambda n: n.x[None, :] * n.y[:, None],
        lambda n: np.array([1, 2, 3, 4, 5, 6]) * n.x,
        lambda n: np.float64(3) * n.x,
        lambda n: n.m @ n.x,
        lambda n: n.m @ n.w,
        lambda n: n.x @ n.x,
        lambda n: n.x @ n.w,
        lambda n: n.b @ n.w,
    ],
    "python numbers": [
        lambda n: n.s + 1,
        lambda n: n.s * n.k,
        lambda n: n.k + 1,
        lambda n: n.k / 2,
        lambda n: n.k // 2,
        lambda n: -n.k % 3,
        lambda n: n.k**2,
        lambda n: n.k**-1,
        lambda n: n.k > 1,
        lambda n: (n.k > 1) + (n.k > 0),
        lambda n: (n.k > 1) & (n.s > 0),
        lambda n: (n.k > 1) * 2.5,
        lambda n: -n.s,
        lambda n: abs(-n.s),
        lambda n: n.s // 0.2,
        lambda n: n.s % 0.2,
        lambda n: n.s**2,
        lambda n: 2**n.s,
        lambda n: round(n.s, 1),
        lambda n: np.sqrt(n.s),
        lambda n: np.exp(-n.k / n.s),
        lambda n: np.maximum(n.k, 3),
        lambda n: np.clip(n.s, 0, 0.5),
        lambda n: n.k & 3,
        lambda n: n.k << 2,
        lambda n: sum(n.x),
        lambda n: sum([n.s, n.k]),
    ],
    "elementwise": [
        lambda n: np.exp(n.x),
        lambda n: np.log(n.y),
        lambda n: np.sqrt(n.x),
        lambda n: np.sin(n.i),
        lambda n: np.tanh(n.x),
        lambda n: np.sign(n.x),
        lambda n: np.sign(n.nan),
        lambda n: np.floor(n.x),
        lambda n: np.rint(n.x * 2.5),
        lambda n: np.abs(n.i),
        lambda n: np.maximum(n.x, 0),
        lambda n: np.minimum(n.x, n.y),
        lambda n: np.fmax(n.nan, n.y),
        lambda n: np.maximum(n.nan, n.y),
        lambda n: np.arctan2(n.x, n.y),
        lambda n: np.hypot(n.x, n.y),
        lambda n: np.isnan(n.nan),
        lambda n: np.isfinite(n.nan),
        lambda n: np.isinf(n.nan),
        lambda n: np.nan_to_num(n.nan),
        lambda n: np.logical_and(n.x, n.b),
        lambda n: np.logical_not(n.x),
        lambda n: np.heaviside(n.x, 0.5),
        lambda n: np.square(n.i),
        lambda n: np.power(n.y, 3),
        lambda n: np.expm1(n.x),
        lambda n: np.log1p(n.y),
        lambda n: np.exp2(n.x),
        lambda n: np.cbrt(n.x),
        lambda n: np.reciprocal(n.y),
        lambda n: np.copysign(n.x, n.i),
        lambda n: np.logaddexp(n.x, n.y),
        lambda n: np.deg2rad(n.x),
        lambda n: np.add(n.x, n.y, dtype=np.float32),
        lambda n: np.clip(n.x, -0.5, 0.5),
        lambda n: np.clip(n.x, None, 0.5),
        lambda n: np.clip(n.i, 0, 4),
        lambda n: n.x.clip(0),
        lambda n: n.x.clip(-0.1, n.y),
        lambda n: np.where(n.x > 0, n.x, 0),
        lambda n: np.where(n.b, n.x, n.y),
        lambda n: np.where(n.b, 1, 2.0),
        lambda n: np.where(n.b, n.i, 0.5),
        lambda n: np.where(n.b[None], n.m, 0.0),
        lambda n: np.real(n.z) + 0,
        lambda n: np.angle(n.z),
        lambda n: np.sinc(n.x),
        lambda n: np.interp(n.x, [-1.0, 0.0, 1.0], [0.0, 2.0, 3.0]),
        lambda n: np.digitize(n.x, np.array([-0.5, 0.0, 0.5])),
        lambda n: np.searchsorted(np.array([-0.5, 0.0, 0.5]), n.x),
        lambda n: np.isin(n.i, [3, 0]),
        lambda n: np.isclose(n.x, 0.1, atol=0.5),
        lambda n: np.round(n.y, 1),
        lambda n: np.round(n.x),
        lambda n: n.x.round(),
        lambda n: np.select([n.x > 0.5, n.x > 0], [n.x, -n.x], 0),
    ],
    "casts": [
        lambda n: n.x.astype(int),
        lambda n: n.x.astype(np.float64),
        lambda n: n.x.astype(bool),
        lambda n: (n.x * 300).astype(np.int8),
        lambda n: n.nan.astype(np.int64),
        lambda n: n.i.astype(np.uint8),
        lambda n: n.b.astype(np.float32),
        lambda n: n.i.astype("f4"),
        lambda n: np.array(n.x),
        lambda n: np.array(n.x, dtype=np.float64),
        lambda n: np.asarray(n.b, dtype=int),
        lambda n: np.array([n.x, n.x * 2]),
        lambda n: np.array([n.x.sum(), 2.0]),
        lambda n: np.array([n.s, n.k]),
        lambda n: np.zeros_like(n.x) + 1,
        lambda n: np.ones_like(n.i),
        lambda n: np.full_like(n.x, 2),
        lambda n: np.zeros(n.x.shape),
        lambda n: np.zeros(n.size if hasattr(n, "size") else len(n.x), dtype=n.x.dtype) + n.x,
        lambda n: np.full(3, n.s),
        lambda n: np.arange(len(n.x)) * n.x,
        lambda n: np.eye(6) * n.x,
        lambda n: np.copy(n.x),
        lambda n: n.x.copy(),
    ],
    "reductions": [
        lambda n: n.x.sum(),
        lambda n: n.m.sum(axis=0),
        lambda n: n.m.sum(1),
        lambda n: np.sum(n.m, axis=1, keepdims=True),
        lambda n: np.sum(n.b),
        lambda n: n.u.sum(),
        lambda n: np.sum(n.i),
        lambda n: n.x.mean(),
        lambda n: np.mean(n.i),
        lambda n: np.mean(n.b),
        lambda n: n.m.mean(axis=1),
        lambda n: n.x.std(),
        lambda n: np.var(n.m, axis=0),
        lambda n: n.y.std(ddof=1),
        lambda n: n.x.min(),
        lambda n: n.m.max(axis=0),
        lambda n: np.max(n.i),
        lambda n: np.amax(n.x),
        lambda n: n.b.any(),
        lambda n: np.all(n.m > -9, axis=0),
        lambda n: np.any(n.x),
        lambda n: n.x.argmax(),
        lambda n: np.argmin(n.m, axis=1),
        lambda n: n.x.cumsum(),
        lambda n: np.cumsum(n.b),
        lambda n: np.cumprod(n.x),
        lambda n: n.x.prod(),
        lambda n: np.median(n.m, axis=0),
        lambda n: np.percentile(n.x, 30),
        lambda n: np.quantile(n.y, 0.3),
        lambda n: np.average(n.x, weights=n.y),
        lambda n: np.count_nonzero(n.b),
        lambda n: np.count_nonzero(n.m > 0, axis=0),
        lambda n: np.linalg.norm(n.x),
        lambda n: np.linalg.norm(n.m, axis=1),
        lambda n: np.linalg.norm(n.m, axis=0, keepdims=True),
        lambda n: np.nanmean(n.nan[:2]),
        lambda n: np.nanmax(n.nan),
        lambda n: np.trace(n.w),
        lambda n: np.ptp(n.x),
        lambda n: np.add.reduce(n.m),
        lambda n: np.maximum.reduce(n.m, axis=1),
        lambda n: np.add.accumulate(n.x),
        lambda n: np.sum(n.x, dtype=np.float64),
        lambda n: np.array_equal(n.x, n.x),
        lambda n: np.allclose(n.x, n.y),
    ],
    "shapes": [
        lambda n: n.m.T,
        lambda n: n.m.T @ n.m,
        lambda n: n.m.transpose(1, 0),
        lambda n: np.transpose(n.m),
        lambda n: np.swapaxes(n.m, 0, 1),
        lambda n: n.m.reshape(-1),
        lambda n: n.m.reshape(2, 12),
        lambda n: np.reshape(n.m, (3, 8)),
        lambda n: n.m.ravel(),
        lambda n: n.m.flatten(),
        lambda n: np.ravel(n.m.T),
        lambda n: np.expand_dims(n.x, 1),
        lambda n: n.x[:, None].squeeze(),
        lambda n: np.atleast_2d(n.x),
        lambda n: np.roll(n.x, 1),
        lambda n: np.roll(n.m, 1, axis=0),
        lambda n: np.tile(n.x, (2, 1)),
        lambda n: np.tile(n.x, 2),
        lambda n: np.repeat(n.x, 2),
        lambda n: n.x.repeat(3),
        lambda n: np.concatenate([n.x, n.y]),
        lambda n: np.concatenate((n.x, [1.0])),
        lambda n: np.stack([n.x, n.x]),
        lambda n: np.hstack((n.x, n.i)),
        lambda n: np.vstack((n.x, n.m)),
        lambda n: np.column_stack((n.x, n.y)),
        lambda n: np.append(n.x, n.s),
        lambda n: np.diff(n.x),
        lambda n: np.diff(n.m, axis=0),
        lambda n: np.flip(n.x),
        lambda n: np.fliplr(n.m),
        lambda n: n.x[::-1],
        lambda n: np.triu(n.w),
        lambda n: np.tril(n.w, -1),
        lambda n: np.diag(n.x),
        lambda n: np.diag(n.w),
        lambda n: np.diagonal(n.w),
        lambda n: np.broadcast_to(n.x, (2, 6)),
        lambda n: np.sort(n.x),
        lambda n: np.sort(n.m, axis=0),
        lambda n: np.argsort(n.x),
        lambda n: n.m.argsort(axis=1),
        lambda n: np.take(n.x, [1, 2]),
        lambda n: n.x.take(n.u[:2]),
        lambda n: np.pad(n.x, 2),
        lambda n: np.split(n.x, 2)[1],
        lambda n: np.moveaxis(n.m, 0, 1),
        lambda n: np.take_along_axis(n.m, np.argsort(n.m, axis=1), axis=1),
        lambda n: np.gradient(n.x),
        lambda n: np.meshgrid(n.x, n.y)[0],
        lambda n: np.kron(n.x, n.y),
    ],
    "products": [
        lambda n: np.dot(n.m, n.x),
        lambda n: n.m.dot(n.x),
        lambda n: n.m.dot(n.b),
        lambda n: n.m.dot(2),
        lambda n: np.dot(n.s, n.x),
        lambda n: n.x.dot(n.y),
        lambda n: np.outer(n.x, n.y),
        lambda n: np.outer(n.b, n.x),
        lambda n: np.inner(n.x, n.y),
        lambda n: np.vdot(n.x, n.x),
        lambda n: np.tensordot(n.m, n.w, 1),
        lambda n: np.einsum("ij,j->i", n.m, n.x),
        lambda n: np.einsum("i,i", n.x, n.y),
        lambda n: np.convolve(n.x, [0.2, 0.5, 0.2], mode="same"),
        lambda n: np.convolve(n.y, np.ones(3)),
        lambda n: np.correlate(n.x, n.y),
        lambda n: np.multiply.outer(n.x, n.i),
        lambda n: np.matmul(n.w, n.m.T),
        lambda n: n.w.T @ n.x,
        lambda n: np.linalg.solve(n.w, n.y),
        lambda n: np.linalg.inv(n.w),
        lambda n: n.i @ n.i,
        lambda n: n.b @ n.b,
    ],
    "shape questions": [
        lambda n: n.x.size + n.x.ndim + len(n.x) + n.m.shape[1],
        lambda n: np.shape(n.m)[0],
        lambda n: np.ndim(n.m),
        lambda n: np.size(n.m),
        lambda n: isinstance(n.x, np.ndarray),
        lambda n: isinstance(n.s, float) and isinstance(n.f, np.float32),
        lambda n: n.x.dtype == np.float32,
        lambda n: np.iscomplexobj(n.z),
        lambda n: n.x.nbytes + n.x.itemsize,
        lambda n: str(np.result_type(n.x, n.y)) == "float64",
    ],
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("group", GROUPS)
def test_function_gives_what_numpy_gives(group):
    check_all(GROUPS[group])


def test_unknown_function_is_named():
    n = thing()

    def rule(n):
        n.x += np.histogram(n.x, 6)[0]

    with pytest.raises(Untraceable, match=r"numpy.histogram is not in the table"):
        compile_rule(rule, n)


SHARING = {
    "astype": lambda n: n.x.astype(np.float32, copy=False),
    "astype of a type": lambda n: n.w.astype(n.w.dtype, copy=False)[3],
    "astype that copies": lambda n: n.x.astype(np.float64, copy=False),
    "asarray": lambda n: np.asarray(n.x, np.float32),
    "asarray that copies": lambda n: np.asarray(n.x, copy=True),
    "array": lambda n: np.array(n.x, copy=None),
    "ascontiguousarray": lambda n: np.ascontiguousarray(n.w)[2:4],
    "ascontiguousarray that copies": lambda n: np.ascontiguousarray(n.w.T),
    "nan_to_num": lambda n: np.nan_to_num(n.nan, copy=False),
    "nan_to_num that copies": lambda n: np.nan_to_num(n.nan),
    "rot90": lambda n: np.rot90(n.m),
    "einsum": lambda n: np.einsum("ii->i", n.w),
    "einsum that copies": lambda n: np.einsum("ij->i", n.w),
    "conj": lambda n: n.x.conj(),
    "conj that copies": lambda n: n.z.conj(),
    "real": lambda n: np.real(n.z),
    "reshape": lambda n: np.reshape(n.w, shape=(-1,))[::7],
    "ravel that copies": lambda n: n.w.T.ravel(),
    "squeeze": lambda n: np.squeeze(n.x[None]),
    "round that copies": lambda n: np.round(n.i),
}


@pytest.mark.parametrize("name", SHARING)
def test_what_shares_memory_in_numpy_shares_it_when_compiled(name):
    def rule(n):
        unfreeze(n)
        part = SHARING[name](n)
        part[1:3] = 5
        part += 2

    check(rule, thing(), steps=2, warm=1, tolerance=3e-6)


@pytest.mark.parametrize(
    "make", [lambda n: np.broadcast_to(n.x, (3, 6)), lambda n: n.w.diagonal(1), lambda n: np.diag(n.w)]
)
def test_views_that_nobody_may_write_to_show_what_becomes_of_the_array(make):
    def rule(n):
        unfreeze(n)
        seen = make(n)
        n.x[2], n.w[2, 2:4] = 3.0, 4.0
        n.y = n.y + seen.sum()

    check(rule, thing(), steps=2, warm=1, tolerance=3e-6)

    def writes(n):
        unfreeze(n)
        make(n)[1] = 3.0

    with pytest.raises(ValueError, match="read-only"):
        compile_rule(writes, thing())


def test_the_order_in_memory_decides_what_is_a_view():
    n = thing()
    n.m = np.asfortranarray(n.m)

    def rule(n):
        n.m += 1
        n.m.ravel()[3] = 5.0

    with pytest.raises(Untraceable, match="another order than C"):
        compile_rule(rule, n)


PLACED = {
    "clip": lambda n: np.clip(n.y, 0.5, 1.0, n.y),
    "dot": lambda n: np.dot(n.w, n.y, n.y),
    "round": lambda n: np.round(n.y, 1, n.y),
    "method": lambda n: n.y.round(1, n.y),
    "sum": lambda n: np.sum(n.w, 0, None, n.y),
    "max": lambda n: n.w.max(1, n.y),
    "cumsum": lambda n: n.y.cumsum(0, None, n.y),
    "take": lambda n: np.take(n.w, 2, 1, n.y),
    "concatenate": lambda n: np.concatenate([n.y[3:], n.y[:3]], 0, n.y),
    "copyto": lambda n: np.copyto(n.y, n.x, "same_kind", n.b),
    "ufunc": lambda n: np.add(n.y, 1.0, n.y),
    "ones_like": lambda n: np.copyto(n.b, np.ones_like(n.y, bool)),
    "full_like": lambda n: np.copyto(n.u, np.full_like(n.y, 3.0, np.uint8)),
}


@pytest.mark.parametrize("name", PLACED)
def test_arguments_without_their_names_count(name):
    def rule(n):
        unfreeze(n)
        PLACED[name](n)
        n.y += 0.25

    check(rule, thing(), steps=2, warm=1, tolerance=3e-6)


MASKED = {
    "max": lambda n, m: n.w[:, m].max(axis=1, initial=0),
    "min": lambda n, m: np.min(n.y[m], initial=9.0),
    "of nothing": lambda n, m: np.max(n.y[m & ~m], initial=-1.0),
    "keepdims": lambda n, m: n.w[:, m].max(1, keepdims=True, initial=0)[:, 0],
    "var": lambda n, m: n.y[m].var(ddof=0),
    "where": lambda n, m: n.y[m].sum(where=True),
    "plain": lambda n, m: n.y.sum(where=m, initial=2.0) + n.y.max(initial=0.5, where=m) + n.y.mean(where=m),
    "std": lambda n, m: n.w.std(0, None, None, 2) + n.w.std(axis=0, keepdims=True)[0],
    "argmax": lambda n, m: n.w.argmax(0, keepdims=True)[0] + n.w.argmin(axis=1),
}


@pytest.mark.parametrize("name", MASKED)
def test_reductions_take_all_that_numpy_takes(name):
    n = thing()
    n.results = MASKED[name](n, n.y > 0.7)

    def rule(n):
        unfreeze(n)
        n.results = MASKED[name](n, n.y > 0.7)

    check(rule, n, steps=2, tolerance=3e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda n, m: n.y[m].sum(initial=2.0),
        lambda n, m: n.y[m].var(ddof=1),
        lambda n, m: n.y[m].argmax(),
        lambda n, m: n.i[m].max(initial=0.5),
        lambda n, m: n.y[m].max(where=m[m], initial=0),
    ],
)
def test_what_reductions_of_picked_values_cannot_do_is_refused(make):
    def rule(n):
        unfreeze(n)
        n.s = float(make(n, n.y > 0.7))

    with pytest.raises(Untraceable):
        compile_rule(rule, thing())
