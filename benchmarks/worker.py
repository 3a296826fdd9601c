"""Run the tasks of one benchmark on one side, in its own environment, on request.

Reads one request a line, answers one line of JSON. Imports nothing heavy by itself, so that a task
can time an import.
"""

import importlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path


def main():
    """Answer requests until the input ends: a JSON list of task name and the path for its value, or null."""
    side, name = sys.argv[1:3]
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever the libraries print goes elsewhere
    here = Path(__file__).parent
    sys.path.insert(0, str(here))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # PyRates writes files into the current folder
        tasks = getattr(importlib.import_module(name), side)()
        print(json.dumps(list(tasks)), file=answers)
        for line in sys.stdin:
            task, path = json.loads(line)
            try:
                begun = time.perf_counter()
                value = tasks[task]()
                answer = {"seconds": time.perf_counter() - begun}
                # A task that does its own timing, as of compilation, returns (seconds, value).
                if isinstance(value, tuple):
                    answer["seconds"], value = value
                if path is not None and value is not None:
                    import numpy

                    numpy.save(path, numpy.asarray(value, dtype=float))
            except Exception as problem:
                answer = {"error": f"{type(problem).__name__}: {problem}"}
            print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
