"""The command line: arguments in, text or JSON out. Exit status 0: answered, 2: something asked for is wrong."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from aggsim import __version__
from aggsim.errors import AggsimError

__all__ = ["main"]

USER_ERROR = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a sign gets a question mark
            stream.reconfigure(errors="replace")
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except AggsimError as error:
        print(f"aggsim: {error}", file=sys.stderr)
        return USER_ERROR
    except BrokenPipeError:  # whoever read us has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m aggsim", description="Capacity planning for aggregated LLM serving.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"aggsim {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    evaluate = _command(commands, "evaluate", "answer a scenario: latency, throughput, memory and what limits it")
    what = evaluate.add_mutually_exclusive_group()
    what.add_argument(
        "query", nargs="?", default="", metavar="QUERY", help='the part of a link after the "?"; empty: all defaults'
    )
    _add_jsonl(what, "one JSON scenario a line")
    _add_law(evaluate)
    _add_json(evaluate)

    search = _command(commands, "search", "every layout and batch size under the limits, ranked")
    search.add_argument(
        "query",
        nargs="?",
        default="",
        metavar="QUERY",
        help='the part of a link after the "?"; tp=1,2,4 and tp=all try several values, as for the other fields of a '
        "layout, the number formats, mtp, device and devices",
    )
    search.add_argument("--top", type=int, metavar="N", help="only the N best layouts")
    search.add_argument("--devices-list", metavar="4,8,16", help="numbers of devices, in place of the query's")
    search.add_argument(
        "--target-tokens-per-s", type=float, metavar="X", help="also the fewest devices that make X output tokens/s"
    )
    search.add_argument(
        "--target-requests-per-s", type=float, metavar="X", help="also the fewest devices that serve X requests/s"
    )
    _add_json(search)

    fit = _command(commands, "fit", "fit the law of engine linear to your own measurements")
    fit.add_argument(
        "file",
        metavar="FILE.csv",
        help="columns phase, requests (of one replica), query_len, seq_len, latency_ms; -: standard input",
    )
    fit.add_argument("--toml", metavar="OUT", help="also write the law to this file")
    fit.add_argument(
        "--errors",
        choices=("relative", "absolute"),
        default="relative",
        help="whose squares are least: relative to the measured value (default), or in seconds",
    )
    fit.add_argument("--memory-gib", type=float, metavar="X", help="GiB of each device that the KV cache may take")
    fit.add_argument("--gib-per-ctx", type=float, metavar="X", help="GiB of each device that a token of context takes")
    _add_law(fit, "keep memory_gib and gib_per_ctx of this law")
    _add_json(fit)
    compare = _command(commands, "compare-engines", "one scenario through every engine, at one batch size")
    compare.add_argument(
        "query", nargs="?", default="", metavar="QUERY", help='the part of a link after the "?"; empty: all defaults'
    )
    compare.add_argument("--engines", metavar="A,B", help="only these beside the one that answers the query")
    _add_json(compare)
    own = _command(commands, "own", "a model or device of your own as a field of a query, for any other command")
    own.add_argument("file", metavar="FILE", help="a config.json, or the TOML file of a device")
    own.add_argument("--name", metavar="NAME", help="what it is called; else after the file")

    forward = _command(commands, "forward", "price single forward passes, one JSON object a line in and out")
    _add_jsonl(forward, "one JSON request a line", required=True)

    for name, text in (
        ("models", "the models of the catalog"),
        ("devices", "the devices of the catalog"),
        ("engines", "who can price a forward pass, and who cannot here"),
    ):
        _add_json(_command(commands, name, text))
    accuracy = _command(commands, "accuracy", "predict every measured row: how far off is each engine")
    accuracy.add_argument("--csv", metavar="FILE", help="also write id, engine, ttft_ms, tpot_ms of every row to FILE")
    accuracy.add_argument("--store", action="store_true", help="also replace the predictions that the pages show")
    accuracy.add_argument("--fit", action="store_true", help="only find the global parameters anew, on the fit half")
    _add_json(accuracy)
    bench = _command(commands, "bench", "measure speed on this machine, as ratios within one run")
    bench.add_argument("names", nargs="*", metavar="NAME", help="only these benches")
    _add_json(bench)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False)
    command.set_defaults(run=lambda options: _run(name, options))
    return command


def _run(name: str, options: argparse.Namespace) -> int:
    """Import late: asking for help needs no engine."""
    from aggsim.cli import accuracy, bench, engines, evaluate, fit, forward, listing, own, search

    commands = {
        "evaluate": evaluate.run,
        "search": search.run,
        "fit": fit.run,
        "compare-engines": engines.run,
        "own": own.run,
        "forward": forward.run,
        "models": listing.models,
        "devices": listing.devices,
        "engines": listing.engines,
        "accuracy": accuracy.run,
        "bench": bench.run,
    }
    return commands[name](options)


def _add_jsonl(to: argparse._ActionsContainer, text: str, **rest: bool) -> None:
    to.add_argument("--jsonl", metavar="FILE", help=f"{text} from FILE, or - for standard input", **rest)  # type: ignore[arg-type]


def _add_law(command: argparse.ArgumentParser, text: str = "ask engine linear with the law of this file") -> None:
    command.add_argument("--law", metavar="FILE.toml", help=text)


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="JSON instead of text")
