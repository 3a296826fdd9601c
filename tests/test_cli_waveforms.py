"""Inputs written as words: values against formulas, files against contents, bad words against messages."""

from __future__ import annotations

import re

import numpy as np
import pytest

from recurra.cli.waveforms import FORMS, waveform
from recurra.errors import OptionError, PathError, ShapeError, TimeError


def test_step_is_the_array_of_the_published_example():
    duration, dt = 125.0, 5e-4
    expected = np.zeros(round(duration / dt))
    expected[int(25 / dt) : int(100 / dt)] = 1.0
    np.testing.assert_array_equal(waveform("step:25:100:1", duration, dt), expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("constant:-2.5", [-2.5] * 6),
        ("step:0:3:2", [2.0] * 6),
        ("step:1:1:2", [0.0] * 6),
        ("step:2:9:2", [0, 0, 0, 0, 2, 2]),
        ("ramp:1:2:4", [0, 0, 0, 2, 4, 4]),
        ("ramp:1:1:4", [0, 0, 0, 4, 4, 4]),
        ("pulses:0.5:0.5:1.5:3", [0, 3, 0, 0, 3, 0]),
        ("pulses:0:1:1:3", [3.0] * 6),
    ],
)
def test_forms_over_six_steps_of_a_half(text, expected):
    np.testing.assert_allclose(waveform(text, 3.0, 0.5), expected, atol=1e-15)


def test_sine_with_and_without_phase():
    time = np.arange(100) * 0.01
    np.testing.assert_allclose(waveform("sine:2:3", 1.0, 0.01), 3 * np.sin(4 * np.pi * time), atol=1e-14)
    np.testing.assert_allclose(
        waveform("sine:2:3:0.5", 1.0, 0.01), 3 * np.sin(4 * np.pi * time + 0.5), atol=1e-14
    )


@pytest.fixture
def folder(tmp_path):
    table = np.arange(12.0).reshape(4, 3)
    np.save(tmp_path / "one.npy", table[:, 0])
    np.save(tmp_path / "three.npy", table)
    np.save(tmp_path / "cube.npy", np.zeros((4, 2, 2)))
    np.savetxt(tmp_path / "plain.csv", table, delimiter=",")
    timed = np.column_stack([np.arange(4) * 0.5, table[:, 1:]])
    np.savetxt(tmp_path / "named.csv", timed, delimiter=",", header="time,left,right", comments="")
    np.savetxt(tmp_path / "timed.csv", timed[:, :2], delimiter=",", header="time,left", comments="")
    np.savetxt(tmp_path / "other.csv", table, delimiter=",", header="Time,left,right", comments="")
    np.savetxt(tmp_path / "last.csv", timed[:, ::-1], delimiter=",", header="right,left,Time (ms)", comments="")
    np.savetxt(tmp_path / "units.csv", table, delimiter=",", header="left,right,time_ms", comments="")
    np.savetxt(tmp_path / "twice.csv", timed, delimiter=",", header="time,t,left", comments="")
    np.savetxt(tmp_path / "a:b.csv", table[:, 1:2], delimiter=",")
    for name in ("", "Time (ms)", '"t"', "index"):
        body = "".join(f'{time},"{value}"\n' for time, value in timed[:, :2])
        (tmp_path / f"axis {name or 'none'}.csv").write_text(f'{name},"left"\n{body}')
    (tmp_path / "rows.csv").write_text(",left\n" + "".join(f"{k},{value}\n" for k, value in enumerate(table[:, 1])))
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "ragged.csv").write_text("1,2\n3\n4,5\n6,7\n")
    (tmp_path / "words.csv").write_text("a\nb\nc\n")
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY")
    (tmp_path / "table.txt").write_text("1")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("one.npy", [0, 3, 6, 9]),
        ("three.npy", np.arange(12.0).reshape(4, 3)),
        ("three.npy:2", [2, 5, 8, 11]),
        ("plain.csv:1", [1, 4, 7, 10]),
        ("named.csv:right", [2, 5, 8, 11]),
        ("named.csv:1", [1, 4, 7, 10]),
        ("timed.csv", [1, 4, 7, 10]),
        ("last.csv:right", [2, 5, 8, 11]),
        ("a:b.csv", [1, 4, 7, 10]),
        ("axis none.csv", [1, 4, 7, 10]),
        ("axis Time (ms).csv", [1, 4, 7, 10]),
        ('axis "t".csv', [1, 4, 7, 10]),
        ("axis index.csv:left", [1, 4, 7, 10]),
        ("rows.csv", [1, 4, 7, 10]),
    ],
)
def test_file(folder, words, expected):
    np.testing.assert_array_equal(waveform(f"file:{folder}/{words}", 2.0, 0.5), expected)


@pytest.mark.parametrize(
    ("words", "error", "expected"),
    [
        ("two.npy", PathError, "there is no file"),
        ("nmed.csv", PathError, "Did you mean 'named.csv'"),
        ("named.csv:rigth", PathError, "unknown column 'rigth'. Did you mean 'right'"),
        ("plain.csv:3", PathError, "unknown column '3'"),
        ("plain.csv", OptionError, "several columns; choose one by adding `:COLUMN`. Known: 0, 1, 2."),
        ("named.csv", OptionError, "Known: left, right."),
        ("cube.npy", ShapeError, "must hold numbers, one row for each step"),
        ("broken.npy", ShapeError, "cannot be read as an array of numbers"),
        ("empty.csv", ShapeError, "is empty"),
        ("ragged.csv", ShapeError, "is not a table of numbers"),
        ("words.csv", ShapeError, "is not a table of numbers"),
        ("table.txt", OptionError, "neither .csv nor .npy"),
        ("units.csv:left", TimeError, "'units.csv' has a sample every 3 (times 2 to 11), the run has steps of 0.5"),
        ("twice.csv:left", OptionError, "several columns of times: time, t."),
        ("other.csv:left", TimeError, "'other.csv' has a sample every 3 (times 0 to 9), the run has steps of 0.5"),
    ],
)
def test_file_that_does_not_fit(folder, words, error, expected):
    with pytest.raises(error, match=re.escape(expected)):
        waveform(f"file:{folder}/{words}", 2.0, 0.5)


@pytest.mark.parametrize("name", ["none", "Time (ms)", "index"])
def test_a_file_with_times_of_another_step_is_refused(folder, name):
    with pytest.raises(TimeError, match=r"has a sample every 0\.5 .* the run has steps of 0\.25"):
        waveform(f"file:{folder}/axis {name}.csv:left", 1.0, 0.25)


def test_file_with_another_number_of_rows(folder):
    with pytest.raises(ShapeError, match=r"e/in: 'one.npy' has 4 rows, but the run has 6 steps"):
        waveform(f"file:{folder}/one.npy", 3.0, 0.5, where="e/in")


def test_pickled_array_is_not_loaded(tmp_path):
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ShapeError, match="cannot be read as an array of numbers"):
        waveform(f"file:{tmp_path}/evil.npy", 1.0, 1.0)


@pytest.mark.parametrize(
    ("text", "error", "expected"),
    [
        ("stepp:1:2:3", OptionError, "unknown waveform 'stepp'. Did you mean 'step'?"),
        ("", OptionError, "unknown waveform ''"),
        ("step:1:2", OptionError, "got 2 numbers in '1:2'; write step:ON:OFF:AMPLITUDE"),
        ("constant", OptionError, "got 0 numbers in ''; write constant:VALUE"),
        ("constant:1:2", OptionError, "got 2 numbers"),
        ("sine:1", OptionError, "write sine:FREQUENCY:AMPLITUDE[:PHASE]"),
        ("step:a:2:3", OptionError, "'a' is not a number"),
        ("constant:nan", OptionError, "expected finite numbers"),
        ("step:2:1:1", TimeError, "out of order"),
        ("step:-1:1:1", TimeError, "negative"),
        ("pulses:0:2:1:1", TimeError, "0 < WIDTH <= PERIOD"),
        ("pulses:0:0.1:1:1", TimeError, "shorter than a step"),
    ],
)
def test_bad_words(text, error, expected):
    with pytest.raises(error, match=re.escape(expected)):
        waveform(text, 3.0, 0.5)


@pytest.mark.parametrize(("duration", "dt"), [(0, 1), (1, 0), (-1, 1), (float("nan"), 1), (1, 1e-320)])
def test_bad_grid(duration, dt):
    with pytest.raises(TimeError, match="must be positive numbers"):
        waveform("constant:1", duration, dt)


def test_every_form_is_explained():
    assert all(form.startswith(f"{name}:") and text for name, (form, text) in FORMS.items())
