"""Kill and interrupt long calls at random moments, let them go on, and compare with undisturbed ones bit for bit.

    python benchmarks/kill_and_interrupt.py --kills 1000 --interrupts 1000

SIGKILL goes to processes of their own, each of which goes on from what the one before left behind. SIGINT goes to one
process for each call, which lives through it: what the call returned must be whole or marked, or nothing; then the call
is made again, and must end with the bits of an undisturbed one.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from long_calls import Arrays, Call, all_calls

CPU = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def digest(arrays: Arrays) -> str:
    """Return a text that is the same for the same bits only."""
    found = hashlib.sha256()
    for name, value in sorted(arrays.items()):
        array = np.ascontiguousarray(value)
        found.update(f"{name} {array.shape} {array.dtype}".encode() + array.tobytes())
    return found.hexdigest()


def run_once(name: str, folder: Path) -> None:
    """Make a call in this process, and write down the digest of what came out."""
    call = all_calls()[name]
    print("start", os.getpid(), flush=True)
    begun = time.monotonic()
    found = digest(call.arrays(call.make(folder)))
    (folder / "digest.new").write_text(f"{found} {time.monotonic() - begun}")
    os.replace(folder / "digest.new", folder / "digest")


def nurse(name: str) -> None:
    """Make a call in a process of its own for each folder that comes in, and say how it ended.

    The processes are forked from this one, which has imported everything and computed nothing, so that a thousand kills
    do not take a thousand imports.
    """
    for module in ("jax", "optax", "zarr", "recurra.training", "recurra.sweeping", "recurra.rate.training"):
        importlib.import_module(module)

    for line in sys.stdin:
        child = os.fork()
        if not child:
            try:
                run_once(name, Path(line.strip()))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def serve(name: str) -> None:
    """Make a call again and again, whenever a line comes in, and say how it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    call, right = all_calls()[name], ""
    for _ in sys.stdin:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            if not right:
                right = digest(call.arrays(call.make(folder)))
                begun = time.monotonic()
                with tempfile.TemporaryDirectory() as other:
                    if digest(call.arrays(call.make(Path(other)))) != right:
                        raise SystemExit(f"{name}: two undisturbed calls differ")
                print(f"took {time.monotonic() - begun}", flush=True)
                continue
            found, raised = _disturbed(call, folder)
            marked = found is not None and call.marked(found)
            kind = "raised" if raised else "part" if marked else "whole"
            print(f"out {kind}", flush=True)
            if found is not None and not marked and digest(call.arrays(found)) != right:
                print("BAD: not whole, and not marked", flush=True)
            elif found is not None and marked and call.rest is not None:
                print("ok" if digest(call.rest(folder, found)) == right else "BAD: other bits", flush=True)
            else:
                print("ok" if digest(call.arrays(call.make(folder))) == right else "BAD: other bits", flush=True)


def _disturbed(call: Call, folder: Path) -> tuple[Any, bool]:
    """Make a call that SIGINT may reach, and only the call."""
    found, raised = None, False
    try:
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            print("start", flush=True)
            found = call.make(folder)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raised = True
    return found, raised


def _start(*words: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, str(Path(__file__).resolve()), *words]
    return subprocess.Popen(command, env={**os.environ, **CPU}, stdout=subprocess.PIPE, text=True, **options)


def kill(name: str, kills: int, clock: random.Random) -> str:
    """Kill a call that keeps something, so often; return a line of what was found."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _start("--once", name, place).wait()
        right, took = (folder / "digest").read_text().split()
    nursery = _start("--nursery", name, stdin=subprocess.PIPE)
    say, hear = nursery.stdin, nursery.stdout
    if say is None or hear is None:
        raise SystemExit("no pipes")
    done, ends, bad = 0, 0, 0
    while done < kills:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            while not (folder / "digest").exists():
                say.write(f"{place}\n")
                say.flush()
                child = int(hear.readline().split()[1])
                if done < kills:
                    time.sleep(clock.uniform(0.0, float(took)))
                    with contextlib.suppress(ProcessLookupError):  # it has ended before
                        os.kill(child, signal.SIGKILL)
                code = int(hear.readline().split()[1])
                done += code == -signal.SIGKILL
                if code not in (0, -signal.SIGKILL):
                    bad += 1
                    break
            else:
                ends += 1
                bad += (folder / "digest").read_text().split()[0] != right
    say.close()
    nursery.wait()
    return f"{name:<24} {done:>5} SIGKILL, {ends} runs went on to their ends, {bad} with other bits or an error"


def interrupt(name: str, interrupts: int, clock: random.Random) -> str:
    """Interrupt a call so often; return a line of what was found."""
    process = _start("--serve", name, stdin=subprocess.PIPE)
    say, hear = process.stdin, process.stdout
    if say is None or hear is None:
        raise SystemExit("no pipes")

    def ask() -> None:
        say.write("go\n")
        say.flush()

    ask()
    first = hear.readline().split()
    if len(first) != 2:
        return f"{name:<24} could not be made undisturbed, 1 with an error"
    took = float(first[1])
    kinds, bad, waits = dict.fromkeys(("raised", "part", "whole"), 0), 0, []
    for _ in range(interrupts):
        ask()
        hear.readline()
        time.sleep(clock.uniform(0.0, took))
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        while (line := hear.readline().split()) == ["out"]:
            waits.append(time.monotonic() - sent)
        if len(line) < 2:
            bad += 1
            break
        kinds[line[1]] += 1
        if line[1] != "whole":
            waits.append(time.monotonic() - sent)
        bad += hear.readline().strip() != "ok"
    say.close()
    process.wait()
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    longest = f"{max(waits, default=0.0):.2f} s"
    return f"{name:<24} {sum(kinds.values()):>5} SIGINT ({told}), ended within {longest}, {bad} with other bits"


def main(argv: list[str] | None = None) -> int:
    """Disturb calls and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="SIGKILLs in all")
    parser.add_argument("--interrupts", type=int, default=40, help="SIGINTs in all")
    parser.add_argument("--calls", nargs="*", help="names of calls; all of them by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--once", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--nursery", help=argparse.SUPPRESS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.once:
        run_once(options.once[0], Path(options.once[1]))
        return 0
    if options.nursery:
        nurse(options.nursery)
        return 0
    if options.serve:
        serve(options.serve)
        return 0
    calls, clock, lines = all_calls(), random.Random(options.seed), []
    names = options.calls or list(calls)
    keeping = [name for name in names if calls[name].keeps]
    for name in keeping if options.kills else []:
        lines.append(kill(name, -(-options.kills // len(keeping)), clock))
        print(lines[-1], flush=True)
    for name in names if options.interrupts else []:
        lines.append(interrupt(name, -(-options.interrupts // len(names)), clock))
        print(lines[-1], flush=True)
    return int(any(not line.split(", ")[-1].startswith("0 ") for line in lines))


if __name__ == "__main__":
    sys.exit(main())
