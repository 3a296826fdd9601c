"""The words the command line understands."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from recurra import __version__
from recurra.cli import commands, sweeping
from recurra.cli.waveforms import FORMS

EXAMPLE = """example:
  recurra run model_templates.neural_mass_models.wilsoncowan.WC --duration 125 --dt 5e-4 --sampling 0.01 \\
    --input e/se_op/r_ext=step:25:100:1 --record E=e/rate_op/r I=i/rate_op/r --plot wc.png --save wc.csv

inputs:
""" + "\n".join(f"  {form:<38} {text}" for form, text in FORMS.values())


class Parser(argparse.ArgumentParser):
    """Report errors in one line, as all errors of the command line are."""

    def error(self, message: str) -> NoReturn:
        """Print the message and leave with exit code 2."""
        print(f"recurra: error: {message} (see `{self.prog} --help`)", file=sys.stderr)
        raise SystemExit(2)


def parser() -> argparse.ArgumentParser:
    """Make the parser of the whole command line."""
    top = Parser(prog="recurra", description="Simulate and explain neural networks.", allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"recurra {__version__}")
    below = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    listing = _command(below, "templates", commands.templates, "list the models that come with the library")
    listing.add_argument("--search", metavar="TEXT", default="", help="only those whose line holds TEXT")

    describe = _command(below, "describe", commands.describe, "show a model's equations, variables and edges")
    describe.add_argument("path", metavar="PATH", help="a template: dotted path, or file.yaml/Name")

    explain = _command(below, "explain", commands.explain, "show what one step of a model computes")
    explain.add_argument("path", metavar="PATH", help="a template: dotted path, or file.yaml/Name")
    explain.add_argument("--dt", type=_number, help="the step; memory and delays depend on it")

    run = _command(below, "run", commands.run, "simulate a model")
    _model_options(run)
    run.add_argument("--plot", metavar="FILE", help="draw what was recorded into a .png, .pdf or .svg file")
    run.add_argument("--save", metavar="FILE", help="write the result to a .nc, .npz or .csv file")

    sweep = _command(below, "sweep", sweeping.sweep, "simulate a model for many parameter sets")
    _model_options(sweep)
    sweep.add_argument(
        "--over",
        action="extend",
        nargs="+",
        required=True,
        metavar="PATH=VALUES",
        help="a parameter and its values: LOW:HIGH:COUNT, or values separated by commas; LOW:HIGH with --samples",
    )
    sweep.add_argument("--mode", default="grid", choices=["grid", "zip", "random", "lhs"], help="(grid)")
    sweep.add_argument("--samples", type=int, metavar="N", help="number of points of the modes random and lhs")
    sweep.add_argument(
        "--measure",
        nargs="+",
        default=["mean", "min", "max"],
        choices=list(sweeping.MEASURES),
        help="what to keep of every recorded variable (mean min max)",
    )
    sweep.add_argument("--after", type=_number, default=0.0, metavar="TIME", help="measure from this time on (0)")
    sweep.add_argument("--store", metavar="FOLDER", help="keep results there, and go on there if killed")
    sweep.add_argument("--save", required=True, metavar="FILE", help="write a table to a .csv file, or a .nc file")
    return top


def _command(
    below: argparse._SubParsersAction, name: str, function: object, text: str
) -> argparse.ArgumentParser:
    made = below.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog={"run": EXAMPLE, "sweep": sweeping.EXAMPLE}.get(name),
    )
    made.set_defaults(command=function)
    return made


def _model_options(run: argparse.ArgumentParser) -> None:
    run.add_argument("path", metavar="PATH", help="a template: dotted path, or file.yaml/Name")
    run.add_argument("--duration", type=_number, required=True, help="time to simulate, in the model's unit")
    run.add_argument("--dt", type=_number, required=True, help="the step, in the same unit")
    rows = run.add_mutually_exclusive_group()
    rows.add_argument("--every", type=int, metavar="N", help="record every N-th step")
    rows.add_argument("--sampling", type=_number, metavar="TIME", help="record every TIME, a multiple of dt")
    run.add_argument("--solver", help="solver; the default is the engine's")
    run.add_argument(
        "--input",
        action="extend",
        nargs="+",
        default=[],
        metavar="PATH=WAVE",
        help="drive an input; waveforms are listed below",
    )
    run.add_argument(
        "--record",
        action="extend",
        nargs="+",
        default=[],
        metavar="[NAME=]PATH",
        help="record a variable; the default is every state variable",
    )
    run.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="PATH=VALUE",
        dest="values",
        help="set a parameter or an initial value; commas separate one value for each unit",
    )
    run.add_argument("--seed", type=int, default=0, help="seed of all noise (0)")
    run.add_argument("--precision", default="float64", choices=["float32", "float64"], help="(float64)")
    run.add_argument("--no-progress", action="store_true", help="show no progress bar")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}") from None
