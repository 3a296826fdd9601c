"""Random and spoilt texts: an EquationError or a result, soon, and never any code run."""

from __future__ import annotations

import random
import time

import pytest

from recurra.equations import parse_equation, parse_equations, parse_expression, to_text
from recurra.errors import EquationError

GOOD = [
    "x' = -x/tau + k*tanh(r_in) + I_ext",
    "d/dt * v = (v^2 + eta + I)/tau + J*r - (pi*r*tau)**2",
    "dz/dt = 1j*omega*z + K*(z - conj(z)*z^2)/2 + xi_z",
    "m = where(x > 0 and not y <= 2, exprel(x - 1), past(x, 2.5) + y(t-tau))",
    "s' = -s/tau_s + mean(spike) + w[0, i]*index_range(x, 1, 3)",
    "τ = max(abs(α), 1e-3) % 2.",
]
WORDS = (
    "== += '' ** // := .. <> -> ... lambda lambda:0 if else and or not in is None True await exec __import__ "
    "__import__('os') eval('1') f'{x}' x.__class__ ().__class__ print(1) 0x 0b1 1_0 1e 1e999 9**9**9**9 1j "
    "1.e5. past( x(t- d/dt dx/dt t pi xi *x **x a=1 {1:2} x[1:2]"
)
PIECES = [
    *"'\"=^()[]{},;:.!~@#$\\`?&|<\n\r\t\0\x0c\ufeff\u200b\u2028²−ﬁＡ\u0301𝛼😀\ud800",
    *WORDS.split(),
    *("[i for i in x]", "-" * 300, "(" * 300, "2**" * 300, "9" * 5000, "x+" * 3000),
]


def spoil(rng: random.Random, text: str) -> str:
    """Change a text in one to six places."""
    for _ in range(rng.randint(1, 6)):
        place, end = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
        match rng.randrange(5):
            case 0:
                text = text[:place] + rng.choice(PIECES) + text[place:]
            case 1:
                text = text[:place] + text[min(end, place + 3) :]
            case 2:
                text = text[:place] + text[place:end][::-1] + text[end:]
            case 3:
                other = rng.choice(GOOD)
                text = text[:place] + other[rng.randint(0, len(other)) :]
            case _:
                text = (
                    text[:place] + chr(rng.choice([rng.randrange(128), rng.randrange(0x3000)])) + text[place:]
                )
    return text


def read(text: str) -> str | None:
    """Read a text in each way; return what it took too long in."""
    for work in (parse_expression, parse_equation, parse_equations):
        start = time.process_time()
        try:
            result = work(text)
        except EquationError as error:
            assert str(error)
            if error.span is not None and error.source is not None:
                assert 0 <= error.span[0] <= max(error.span[1], len(error.source))
        else:
            if work is parse_expression:
                assert parse_expression(to_text(result)) == result
        if time.process_time() - start > 0.1:
            return work.__name__
    return None


@pytest.mark.parametrize("seed", range(4))
def test_spoilt_texts(seed):
    rng = random.Random(seed)
    for _ in range(1000):
        text = spoil(rng, rng.choice(GOOD))
        slow = read(text)
        # A busy machine may stop for a moment: only what is slow each time is slow.
        assert slow is None or read(text) is None or read(text) is None, (slow, text)


def test_texts_of_pieces():
    rng = random.Random(11)
    for _ in range(1500):
        text = "".join(rng.choice(PIECES) + rng.choice(["", " ", "x", "2"]) for _ in range(rng.randint(1, 8)))
        slow = read(text)
        assert slow is None or read(text) is None or read(text) is None, (slow, text)


CANARIES = [
    "__import__('pathlib').Path({path!r}).touch()",
    "open({path!r}, 'w')",
    "x = open({path!r}, 'w')",
    "x = (lambda: open({path!r}, 'w'))()",
    "x = [open(p, 'w') for p in [{path!r}]]",
    "x = eval('open({path!r}, \"w\")')",
    "x = f'{{open({path!r}, \"w\")}}'",
    "x' = y.__class__.__base__.__subclasses__()",
    "x = (y := open({path!r}, 'w'))",
    "open({path!r}, 'w')' = 1",
    "d/dt * open({path!r}, 'w') = 1",
    "x = 1; import os",
    "x = 1\nopen({path!r}, 'w')",
]


@pytest.mark.parametrize("text", CANARIES)
def test_no_code_is_run(text, tmp_path, monkeypatch):
    canary = tmp_path / "canary"
    calls = []
    for name in ("eval", "exec", "open", "__import__"):
        original = __builtins__[name] if isinstance(__builtins__, dict) else getattr(__builtins__, name)
        monkeypatch.setattr(
            "builtins." + name,
            lambda *a, _name=name, _original=original, **k: calls.append(_name) or _original(*a, **k),
        )
    for work in (parse_expression, parse_equation, parse_equations):
        with pytest.raises(EquationError):
            work(text.format(path=str(canary)))
    monkeypatch.undo()
    assert not canary.exists()
    assert not {"eval", "exec", "open"} & set(calls)
