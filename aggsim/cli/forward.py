"""python -m aggsim forward"""

from __future__ import annotations

import argparse
from typing import Any

from aggsim import service
from aggsim.cli.jsonl import answer_lines, model_at
from aggsim.planning.forward_request import ForwardRequest
from aggsim.report.json_form import forward_json

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Price every line of a file."""
    return answer_lines(options.jsonl, _answer_line)


def _answer_line(line: Any) -> Any:
    request = ForwardRequest.from_json(line)
    return forward_json(service.forward(request, model=model_at(request.model)))
