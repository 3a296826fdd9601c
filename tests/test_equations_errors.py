"""Bad equations: what the message says and what the caret stands under."""

from __future__ import annotations

import warnings

import pytest

from recurra.equations import check_name, parse_equation, parse_equations, parse_expression
from recurra.errors import EquationError

BAD = [
    # text, part of the message, what the caret stands under
    ("x'' = -x", "second derivative cannot be used; write two first-order equations: x' = x_dot", "x''"),
    ("d^2x/dt^2 = 1", "second derivative", "d^2x/dt^2"),
    ("d2x/dt2 = 1", "second derivative", "d2x/dt2"),
    ("d/dt * d/dt * x = 1", "second derivative", "d/dt * d/dt * x"),
    ("a += 1", "'+=' cannot be used: each variable has one equation", "+="),
    ("a -= 1", "'-=' cannot be used", "-="),
    ("a **= 2", "'**=' cannot be used", "**="),
    ("x' 5", "an equation needs one '='; the left side is x'", "x' 5"),
    ("x == 5", "== compares and does not define", "x == 5"),
    ("x = y = 5", "there is a second '='", "= 5"),
    ("= 5", "nothing on the left of '='", "="),
    ("x = ", "nothing on the right of '='", "="),
    ("", "there is nothing here", ""),
    ("   ", "there is nothing here", "   "),
    ("x[0] = 1", "its entries or its past cannot be set", "x[0]"),
    ("index(a, 0) = 1", "its entries or its past cannot be set", "index(a, 0)"),
    ("2*x = 1", "cannot read the left side", "2*x"),
    ("2 = x", "cannot read the left side", "2"),
    ("t = 1", "'t' is time", "t"),
    ("xi_a' = 1", "'xi_a' is noise", "xi_a'"),
    ("x = lambda*2", "keyword of Python and cannot be used here; call the variable lambda_", "lambda"),
    ("lambda' = 2", "call the variable lambda_", "lambda"),
    ("x = lambda y: y", "call the variable lambda_", "lambda"),
    ("dlambda/dt = 2", "call the variable lambda_", "dlambda"),
    ("x = 1 if y else 2", "where(condition, a, b)", "if"),
    ("x = True", "write 1, or a comparison", "True"),
    ("x = a is b", "'is' is a keyword", "is"),
    ("x = [i for i in y]", "'for' is a keyword", "for"),
    ("x = __import__", "begins with two underscores", "__import__"),
    ("x = y.real", "attributes cannot be read", ".real"),
    ("x = 'abc'", "a derivative can stand on the left of an equation only, and text in quotes nowhere", "'"),
    ('x = "abc"', "text in quotes", '"'),
    ("x = f'{y}'", "braces", "{"),
    ("x = y'", "a derivative can stand on the left", "'"),
    ("x = y := 2", "lambda and := cannot stand", ":"),
    ("x = y[1:2]", "index_range(x, i, j)", ":"),
    ("x = {y}", "braces", "{"),
    ("x = y & z", "write `and`", "&"),
    ("x = |y|", "write `or`, or abs(x)", "|"),
    ("x = !y", "write `not` to negate", "!"),
    ("x = A @ y", "write matmul(A, x)", "@"),
    ("x = y # decay", "a comment cannot stand in an equation", "#"),
    ("x = y − 2", "write the plain minus sign -", "−"),
    ("x = 2·y", "write *", "·"),
    ("x = y²", "write x**2", "²"),
    ("x = y ≤ 2", "write <=", "≤"),
    ("x′ = 2", "write the plain apostrophe", "′"),
    ("x = y $ 2", "cannot read '$': it is no part of an equation", "$"),
    ("x = y\u200b + 2", "cannot read U+200B", "\u200b"),
    ("x = \x00", "cannot read U+0000", "\x00"),
    ("x = 2y", "an operator is missing between '2' and 'y'; a product is written a*b", "y"),
    ("x = a b", "an operator is missing between 'a' and 'b'", "b"),
    ("x = (a)(b)", "an operator is missing between ')' and '('", "(b)"),
    ("x = 1_000", "an operator is missing between '1' and '_000'", "_000"),
    ("x = 0x10", "an operator is missing between '0' and 'x10'", "x10"),
    ("x = a not b", "an operator is missing between 'a' and 'not'", "not"),
    ("x = a + not b", "put brackets around what begins with `not` after '+'", "not"),
    ("x = a +", "something is missing after '+'", "+"),
    ("x = a + * b", "something is missing before '*'", "*"),
    ("x = a * * b", "something is missing before '*'", "* b"),
    ("x = sin(, y)", "something is missing before ','", ","),
    ("x = max(y, )", "something is missing before ')'", ")"),
    ("x = y[]", "something is missing before ']'", "]"),
    ("x = [1, 2]", "lists cannot stand in an equation; join vectors with concatenate(a, b)", "["),
    ("x = (a, b)", "a comma can stand between arguments only", "(a, b)"),
    ("x = ()", "there is nothing in the brackets", "()"),
    ("x = (a + b", "'(' is never closed", "(a"),
    ("x = a + b)", "')' closes a bracket that was never opened", ")"),
    ("x = (a + b]", "']' cannot close '('", "]"),
    ("x = a // b", "write floor(a/b)", "//"),
    ("x = a < b < c", "comparisons cannot be chained; write a < b and b < c", "a < b < c"),
    ("x = 1e999", "the number is too large", "1e999"),
    ("x = " + "9" * 400, "the number is too large", "9" * 400),
    ("x = sinn(y)", "unknown function 'sinn'. Did you mean 'sin'", "sinn"),
    ("x' = a^2 + β^3*taanh(y)", "unknown function 'taanh'. Did you mean 'tanh'", "taanh"),
    ("x\t= y +\tfoo_bar(y)", "unknown function 'foo_bar'", "foo_bar"),
    ("x = eval(y)", "unknown function 'eval'", "eval"),
    ("x = y(2)", "A product is written y*(...)", "y("),
    ("x = y(t)", "a delayed variable is y(t - tau) or past(y, tau)", "y("),
    ("x = y(t + 1)", "a delayed variable is y(t - tau)", "y("),
    ("x = y(t - a - b)", "with brackets around a delay of several terms", "y("),
    ("x = past(y)", "past takes the name of a variable and a delay", "past(y)"),
    ("x = past(2*y, 1)", "past takes the name of a variable and a delay", "past(2*y, 1)"),
    ("x = past(t, 1)", "'t' has no past", "t,"),
    ("x = xi(t - 1)", "'xi' has no past", "xi"),
    ("x = sin()", "sin takes 1 argument, got 0", "sin()"),
    ("x = sin(y, 2)", "sin takes 1 argument, got 2", "sin(y, 2)"),
    ("x = clip(y)", "clip takes 3 arguments, got 1", "clip(y)"),
    ("x = index_axis(y, 1, 2, 3)", "index_axis takes 1 to 3 arguments, got 4", "index_axis(y, 1, 2, 3)"),
    ("x = concatenate()", "concatenate takes 1 or more arguments, got 0", "concatenate()"),
    ("x = clip(y, a_min=0)", "arguments have no names here", "=0"),
    ("x = sin(*y)", "something is missing before '*'", "*"),
    ("x = sin(**y)", "something is missing before '**'", "**"),
    ("x = " + "(" * 300 + "y" + ")" * 300, "nested deeper than 200", None),
    ("x = " + "-" * 300 + "y", "nested deeper than 200", None),
    ("x = " + "2**" * 300 + "y", "nested deeper than 200", None),
]


@pytest.mark.parametrize(("text", "message", "spot"), BAD, ids=[text[:30] for text, *_ in BAD])
def test_bad_text(text, message, spot):
    with pytest.raises(EquationError) as caught:
        parse_equation(text, where="node/op")
    error = caught.value
    assert message in str(error)
    assert str(error).startswith("node/op: ")
    assert error.span is not None
    start, end = error.span
    assert 0 <= start <= len(text)
    if spot is not None:
        assert text[start:].startswith(spot), (start, text[start:])
        assert len(spot.strip()) >= end - start or spot in ("", "   ")
    assert len(str(error)) < 800
    shown, caret = str(error).splitlines()[-2:]
    if len(text) <= 200:
        assert caret.index("^") == start + 2  # the text is indented by two
    elif start < len(text):  # of a long text, what is around the spot
        assert shown[caret.index("^") :].startswith(text[start : start + 20])
    assert "\t" not in str(error)


@pytest.mark.parametrize("text", ["x = 1", "x += 1", "", "1 = 2 = 3", "lambda", "'", "clip(x, a=1)"])
def test_bad_expression(text):
    with pytest.raises(EquationError):
        parse_expression(text)


@pytest.mark.parametrize("value", [None, 5, 2.5, b"x = 1", ["x = 1"]])
def test_no_text(value):
    with pytest.raises(EquationError, match="an equation is text, got"):
        parse_equation(value)
    if not isinstance(value, list | bytes):
        with pytest.raises(EquationError, match="an equation is text, got"):
            parse_equations(value)


def test_too_long():
    with pytest.raises(EquationError, match="10003 characters long, longer than 10000"):
        parse_equation("x =" + " " * 10_000)
    with pytest.raises(EquationError, match="longer than 100000 characters"):
        parse_equations("x = 1;" * 20_000)


@pytest.mark.parametrize("name", ["2x", "a b", "a-b", "", "lambda", "__x", "x²", None, 3])
def test_bad_name(name):
    with pytest.raises(EquationError):
        check_name(name, "node/op")


def test_reading_equations_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for text, *_ in BAD:
            with pytest.raises(EquationError):
                parse_equation(text)
        assert parse_equation("x = 0or 1and 2or 0.or 1.")
