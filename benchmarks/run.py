"""Time Recurra beside its peers and write RESULTS.md.

One driver keeps one worker of each side alive and asks them in turn, so that both meet the same
machine in the same minutes. Every task runs on one thread. The values of all tasks are compared
before anything is timed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
BUILD = ROOT / "build"
PEER_PACKAGES = ["pyrates==1.2.3", "rectipy==0.12.2", "torch==2.13.0", "numba", "scipy"]
BENCHMARKS = [
    "bench_wilson_cowan",
    "bench_jansen_rit_delays",
    "bench_sweep",
    "bench_compile_edges",
    "bench_import",
    "bench_leaky_integrator",
    "bench_bptt",
    "bench_bptt_memory",
    "bench_sparse",
    "bench_simulate_recurrent",
    "bench_groups",
    "bench_stdp",
    "bench_cuba",
    "bench_dale_rnn",
    "bench_glm_fit",
    "bench_glm_chunks",
]
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}


class Worker:
    """Hold a process of one side that answers requests for tasks.

    Arguments:
        side: `"ours"` or `"peer"`.
        benchmark: name of the module.
        sources: where `recurra` is imported from on our side.
    """

    def __init__(self, side: str, benchmark: str, sources: Path = ROOT / "src"):
        python = sys.executable if side == "ours" else str(peer_of(benchmark)[0] / "bin" / "python")
        environment = os.environ | ONE_THREAD
        if side == "ours":
            environment["PYTHONPATH"] = str(sources)
        else:
            environment.pop("PYTHONPATH", None)
        self.process = subprocess.Popen(
            [python, str(HERE / "worker.py"), side, benchmark],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
            preexec_fn=keep_to_one_core,
        )
        self.tasks: list[str] = json.loads(self._answer())

    def _answer(self) -> str:
        line = self.process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise SystemExit(f"error: a worker ended early, with code {self.process.wait()}")
        return line

    def run(self, task: str, path: Path | None = None) -> float:
        """Run a task; return its seconds, and leave its value in `path`."""
        self.process.stdin.write(json.dumps([task, path and str(path)]) + "\n")  # type: ignore[union-attr]
        self.process.stdin.flush()  # type: ignore[union-attr]
        answer = json.loads(self._answer())
        if "error" in answer:
            raise SystemExit(f"error: {task}: {answer['error']}")
        return answer["seconds"]

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()  # type: ignore[union-attr]
        self.process.wait(timeout=30)


def keep_to_one_core() -> None:
    """Bind the worker to one core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def peer_of(benchmark: str) -> tuple[Path, list[str]]:
    """Return where the peers of a benchmark live, and their packages; a benchmark may name one of its own."""
    name, packages = getattr(importlib.import_module(benchmark), "PEER_ENVIRONMENT", ("", PEER_PACKAGES))
    return BUILD / (f"peer-{name}" if name else "peer"), packages


def make_peer(benchmark: str) -> None:
    """Install the peers into an environment of their own, unless they are there."""
    folder, packages = peer_of(benchmark)
    stamp = folder / ".installed"
    if stamp.exists() and stamp.read_text() == " ".join(packages):
        return
    print(f"installing {', '.join(packages)} into {folder.relative_to(ROOT)}", flush=True)
    venv.create(folder, with_pip=True, clear=True)
    subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "-q", *packages], check=True)
    stamp.write_text(" ".join(packages))


def measure(benchmark: str, repeats: int) -> tuple[list[str], dict[str, list[float]]]:
    """Check that the values of a benchmark agree, then time its tasks in turn.

    Tasks whose names begin with "fresh process" get a new process each time.
    """
    module = importlib.import_module(benchmark)
    workers = [Worker("ours", benchmark), Worker("peer", benchmark)]
    turns = [(worker, side, task) for worker, side in zip(workers, ("ours", "peer"), strict=True)
             for task in worker.tasks]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        values = {}
        for number, (worker, side, task) in enumerate(turns):
            path = Path(folder) / f"{number}.npy"
            once(worker, side, benchmark, task, path)
            if path.exists():
                import numpy

                values[task] = numpy.load(path)
        findings = module.agree(values)
    times: dict[str, list[float]] = {task: [] for _, _, task in turns}
    for _ in range(repeats):
        for worker, side, task in turns:
            times[task].append(once(worker, side, benchmark, task))
    for worker in workers:
        worker.close()
    return findings, times


def once(worker: Worker, side: str, benchmark: str, task: str, path: Path | None = None) -> float:
    """Run a task once, in a fresh process if its name asks for one."""
    if not task.startswith("fresh process"):
        return worker.run(task, path)
    fresh = Worker(side, benchmark)
    try:
        return fresh.run(task, path)
    finally:
        fresh.close()


def table(benchmark: str, findings: list[str], times: dict[str, list[float]]) -> str:
    """Return one section of the results: medians, spread, and ratios to the task that stands for ours."""
    module = importlib.import_module(benchmark)
    lines = [f"## {module.TITLE}", "", module.TEXT, ""]
    lines += [f"- {finding}" for finding in findings]
    lines += ["", "| task | median | fastest to slowest | times ours |", "|---|---|---|---|"]
    for group in module.GROUPS:
        base = statistics.median(times[group[0]])
        for task in group:
            seconds = times[task]
            middle = statistics.median(seconds)
            spread = f"{show(min(seconds))} to {show(max(seconds))}"
            lines.append(f"| {task} | {show(middle)} | {spread} | {middle / base:.2f} |")
    return "\n".join([*lines, ""])


def show(seconds: float) -> str:
    """Write a time with a fitting unit."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def main() -> None:
    """Run the chosen benchmarks, print the results and write them down."""
    parser = argparse.ArgumentParser(description="Time Recurra beside its peers.")
    parser.add_argument("benchmarks", nargs="*", default=BENCHMARKS, help="which; all by default")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    sys.path.insert(0, str(HERE))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    sections = [
        "# Results",
        "",
        f"{time.strftime('%Y-%m-%d')}, {machine}, load at the start {load}, {options.repeats} repeats, "
        "one thread. Times are medians of interleaved calls; a ratio above 1 means slower than the first "
        "row of its group.",
        "",
    ]
    for benchmark in options.benchmarks:
        make_peer(benchmark.removesuffix(".py"))
        sections.append(table(benchmark, *measure(benchmark.removesuffix(".py"), options.repeats)))
        print(sections[-1], flush=True)
    if options.benchmarks == BENCHMARKS:
        (HERE / "RESULTS.md").write_text("\n".join(sections), "utf-8")


if __name__ == "__main__":
    main()
