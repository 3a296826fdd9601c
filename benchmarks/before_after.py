"""Time two revisions of Recurra side by side: is anything slower than before?

    git worktree add ../before REVISION
    .venv/bin/python benchmarks/before_after.py ../before/src [bench_sweep ...] [--repeats 7]

The tasks of our side of the benchmarks run in one process for each revision, in turn, on one core and one thread. What
is printed is the time before, the time now, and the median of the ratios of neighbouring calls, which other load on the
machine moves less than the ratio of medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from run import BENCHMARKS, HERE, ROOT, Worker, show


def compare(benchmark: str, sources: tuple[Path, Path], repeats: int) -> None:
    """Print a line for each task of a benchmark; each is run once before anything is timed."""
    workers = [Worker("ours", benchmark, folder) for folder in sources]
    for task in workers[0].tasks:
        if task not in workers[1].tasks or task.startswith("fresh process"):
            continue
        for worker in workers:
            worker.run(task)
        pairs = []
        for turn in range(repeats):
            order = workers if turn % 2 else workers[::-1]
            seconds = {id(worker): worker.run(task) for worker in order}
            pairs.append([seconds[id(worker)] for worker in workers])
        before, now = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(new / old for old, new in pairs)
        print(f"{benchmark:24s} {task:58s} {show(before):>9s} {show(now):>9s}  {ratio:5.2f}", flush=True)
    for worker in workers:
        worker.close()


def main() -> None:
    """Compare the revision in a folder with the one that this file belongs to."""
    parser = argparse.ArgumentParser(description="Time two revisions of Recurra side by side.")
    parser.add_argument("before", type=Path, help="folder from which the other revision is imported")
    parser.add_argument("benchmarks", nargs="*", default=BENCHMARKS)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    sys.path.insert(0, str(HERE))
    for benchmark in options.benchmarks:
        compare(benchmark, (options.before.resolve(), ROOT / "src"), options.repeats)


if __name__ == "__main__":
    main()
