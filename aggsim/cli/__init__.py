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

    forward = _command(commands, "forward", "price single forward passes, one JSON object a line in and out")
    _add_jsonl(forward, "one JSON request a line", required=True)

    for name, text in (
        ("models", "the models of the catalog"),
        ("devices", "the devices of the catalog"),
        ("engines", "who can price a forward pass, and who cannot here"),
    ):
        _add_json(_command(commands, name, text))
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
    from aggsim.cli import bench, evaluate, forward, listing, search

    commands = {
        "evaluate": evaluate.run,
        "search": search.run,
        "forward": forward.run,
        "models": listing.models,
        "devices": listing.devices,
        "engines": listing.engines,
        "bench": bench.run,
    }
    return commands[name](options)


def _add_jsonl(to: argparse._ActionsContainer, text: str, **rest: bool) -> None:
    to.add_argument("--jsonl", metavar="FILE", help=f"{text} from FILE, or - for standard input", **rest)  # type: ignore[arg-type]


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="JSON instead of text")
