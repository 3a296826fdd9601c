"""Damaged files for every reader: `python tests/fuzz_files.py` reads a hundred thousand and counts what happens.

Each file is a good one, changed by bytes or by structure: members of archives, values of JSON, arrays, attributes,
tokens. A worker process with a limit of memory reads one after the other; if it dies, the next one goes on behind the
file that killed it. A file must be read, or be refused by an error of Recurra that names the file in a short message.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import file_mutations as mutations
import file_samples as samples

# How many files of each kind the whole run reads; those of HDF5 and Zarr take a hundred times as long as others.
COUNTS = {
    "program": 8000, "result": 12000, "snapshot": 12000, "network": 6000, "values": 6000, "glm": 10000, "dale": 8000,
    "mat": 16000, "spiking": 8000, "checkpoint": 8000, "yaml": 8000, "project": 4000, "csv": 5000, "npy": 8000,
    "run_store": 1000, "sweep_store": 1000, "netcdf": 1000, "nir": 1000, "nwb": 700,
}  # fmt: skip
OUTCOMES = ("read", "refused", "raw", "crash", "slow", "memory")
SECONDS = {"netcdf": 120, "nir": 120, "nwb": 120}  # a process of their own may use ten seconds of the processor
DEFAULT_SECONDS = 20
MEMORY = 4_000_000_000  # address space beyond what the worker has at its start
MOST_RESIDENT = 1_500_000_000  # bytes by which one file may raise the most memory that was used


def damaged(kind: str, seed: int, number: int, good: Path, folder: Path) -> Path:
    """Write a damaged file into an empty folder and return its path."""
    rng = random.Random(f"{kind} {seed} {number}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return mutations.damage(rng, rng.choice(samples.files(kind, good)), folder)


def judge(kind: str, path: Path) -> tuple[str, str]:
    """Read a file and say what happened: an outcome, and for `raw` what was raised."""
    from recurra.errors import RecurraError

    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(None):
            warnings.simplefilter("ignore")
            samples.READERS[kind](path)
    except RecurraError as error:
        text = str(error)
        if len(text) > 2200:
            return "raw", f"a message of {len(text)} characters"
        if path.name not in text:
            return "raw", f"no path in: {type(error).__name__}: {text[:150]}"
        return "refused", ""
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "recurra" in f.filename]
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
        return "raw", f"{type(error).__name__} at {place}: {str(error)[:120]!r}"
    return "read", ""


def work(kind: str, seed: int, first: int, last: int, good: Path) -> None:
    """Read files one after the other, and tell the outcome of each in a line."""
    samples.READERS[kind](samples.files(kind, good)[0])  # whatever is imported or compiled once
    with open("/proc/self/statm") as stream:
        mapped = int(stream.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out = os.fdopen(os.dup(1), "w", buffering=1)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, last):
            path = damaged(kind, seed, number, good, Path(folder) / "f")
            print("begun", number, file=out)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            signal.alarm(SECONDS.get(kind, DEFAULT_SECONDS))
            start = time.perf_counter()
            outcome, detail = judge(kind, path)
            took = time.perf_counter() - start
            signal.alarm(0)
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
            if grown > MOST_RESIDENT:
                outcome, detail = "memory", f"{grown / 1e6:.0f} MB"
            print("done", json.dumps([outcome, detail, took]), file=out)


def run(kind: str, count: int, seed: int, good: Path) -> tuple[Counter, list[str], float]:
    """Read `count` damaged files of a kind in workers."""
    found: Counter[str] = Counter()
    told: list[str] = []
    longest, at = 0.0, 0
    while at < count:
        last = min(count, at + 20_000)  # a fresh worker now and then
        command = [sys.executable, __file__, "--worker", kind, str(seed), str(at), str(last), str(good)]
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, stdin=subprocess.DEVNULL)
        reading = -1
        for line in child.stdout:  # type: ignore[union-attr]
            word, _, rest = line.partition(" ")
            if word == "begun":
                reading = int(rest)
            elif word == "done":
                outcome, detail, took = json.loads(rest)
                found[outcome] += 1
                longest = max(longest, took)
                if detail:
                    told.append(f"{kind} {seed} {reading}: {outcome}: {detail}")
                at = reading + 1
                if at % 1000 == 0:
                    print(kind, at, dict(found), file=sys.stderr, flush=True)
        if child.wait() == 0 and at == last:
            continue
        if reading < at:
            told.append(f"{kind}: the worker could not begin")
            break
        outcome = "slow" if child.returncode == -signal.SIGALRM else "crash"
        found[outcome] += 1
        told.append(f"{kind} {seed} {reading}: {outcome}: exit status {child.returncode}")
        at = reading + 1
    return found, told, longest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", default=[], help=f"of {', '.join(COUNTS)}; all by default")
    parser.add_argument("--share", type=float, default=1.0, help="of the files of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        kind, seed, first, last, good = options.worker
        work(kind, int(seed), int(first), int(last), Path(good))
        return
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        samples.make(Path(folder))
        print("| file | files |", " | ".join(OUTCOMES), "| longest, s |", flush=True)
        for kind in options.kinds or COUNTS:
            count = max(1, round(COUNTS[kind] * options.share))
            found, told, longest = run(kind, count, options.seed, Path(folder))
            total += found
            cells = " | ".join(str(found[outcome]) for outcome in OUTCOMES)
            print(f"| {kind} | {sum(found.values())} | {cells} | {longest:.2f} |", flush=True)
            for line, times in Counter(told).most_common(12):
                print("   ", line, f"({times} times)" if times > 1 else "", file=sys.stderr, flush=True)
    print("| all |", sum(total.values()), "|", " | ".join(str(total[outcome]) for outcome in OUTCOMES), "| |")


if __name__ == "__main__":
    main()
