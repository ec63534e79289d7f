"""A session without a browser: Streamlit's own messages over its websocket, so that many cost this machine little.

It does what a tab does for the server: opens a page, keeps its address and the messages that it holds already, and
sends a rerun with the state of every field.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.NumberInput_pb2 import NumberInput
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import connect

PATIENCE_S = 30


@dataclass(slots=True)
class Socket:
    """One session on one page."""

    number: int
    title: str
    connection: Any
    page_name: str
    query: str
    steps: int = 0
    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    page_hash: str = ""
    widgets: dict[str, WidgetState] = field(default_factory=dict)
    """Key of a field → its widget's state; a tab sends all of them with every rerun."""
    charts: dict[str, str] = field(default_factory=dict)
    """Description → the message that has drawn it, by its hash."""
    held: set[str] = field(default_factory=set)
    runs: int = 0
    """Scripts that have ended."""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    reader: Any = None

    async def change(self, chart: str) -> float:
        """The next field to the next value; seconds to a chart of that name that differs from the last one."""
        before = self.drawn(chart)
        self.steps += 1
        key = ("output", "input")[self.steps % 2]
        self.widgets[key].int_value = 700 + 211 * self.number + 3 * self.steps
        await self._rerun()
        return await self._until(lambda: self.drawn(chart) not in (None, before))

    def drawn(self, chart: str) -> str | None:
        """What draws it now."""
        return next((message for name, message in self.charts.items() if name.startswith(chart)), None)

    async def close(self) -> None:
        self.reader.cancel()
        await self.connection.close()

    async def _rerun(self) -> None:
        message = BackMsg()
        state = message.rerun_script
        state.query_string, state.page_name, state.page_script_hash = self.query, self.page_name, self.page_hash
        state.cached_message_hashes.extend(self.held)
        state.context_info.url = f"http://{self.connection.remote_address[0]}/"
        state.widget_states.widgets.extend(self.widgets.values())
        await self.connection.send(message.SerializeToString())

    async def _until(self, holds: Any) -> float:
        """Seconds until it does."""
        began = time.monotonic()
        while not holds():
            self.news.clear()
            await asyncio.wait_for(self.news.wait(), began + PATIENCE_S - time.monotonic())
        return time.monotonic() - began

    async def _read(self) -> None:
        async for data in self.connection:
            message = ForwardMsg()
            message.ParseFromString(data)
            self._take(message)
            self.news.set()

    def _take(self, message: ForwardMsg) -> None:
        if message.metadata.cacheable and message.hash:
            self.held.add(message.hash)
        match message.WhichOneof("type"):
            case "new_session":
                self.page_hash = message.new_session.page_script_hash
            case "navigation":
                self.page_hash = message.navigation.page_script_hash
            case "page_info_changed":
                self.query = message.page_info_changed.query_string
            case "script_finished":
                self.runs += 1
            case "delta" if message.delta.WhichOneof("type") == "new_element":
                self._take_element(message.delta.new_element, message.hash)

    def _take_element(self, element: Any, digest: str) -> None:
        kind = element.WhichOneof("type")
        if kind == "exception":
            self.errors.append(f"session {self.number}, step {self.steps}: {element.exception.message}")
        elif kind in ("number_input", "text_input", "selectbox"):
            self._take_field(kind, getattr(element, kind))
        elif kind in ("arrow_vega_lite_chart", "vega_lite_chart"):
            spec = json.loads(getattr(element, kind).spec)
            self.charts = {name: drawn for name, drawn in self.charts.items() if not _same(name, spec)}
            self.charts[spec.get("description", "")] = digest

    def _take_field(self, kind: str, widget: Any) -> None:
        """Its value is the server's where it says one; else what it was, or the default of a new one."""
        key = widget.id.rpartition("-")[2]
        if key in self.widgets and self.widgets[key].id == widget.id and not widget.set_value:
            return
        state = WidgetState(id=widget.id)
        name = ("raw_value" if kind == "selectbox" else "value") if widget.set_value else "default"
        if widget.HasField(name):
            value = getattr(widget, name)
            if kind == "selectbox":
                state.string_value = value if widget.set_value else widget.options[value]
            elif kind == "text_input":
                state.string_value = value
            elif widget.data_type == NumberInput.INT:
                state.int_value = int(value)
            else:
                state.double_value = value
        self.widgets[key] = state


def _same(name: str, spec: dict[str, Any]) -> bool:
    """It describes the same chart: what stands before the colon is its name."""
    return name.partition(":")[0] == str(spec.get("description", "")).partition(":")[0]


async def opened(address: str, number: int, title: str, chart: str, query: str) -> Socket:
    """A session whose page has drawn this chart."""
    url = f"ws://{address.partition('//')[2]}/_stcore/stream"
    connection = await connect(url, subprotocols=["streamlit"], max_size=None, origin=address)
    page_name = "" if title == "Plan" else title.lower()
    socket = Socket(number=number, title=title, connection=connection, page_name=page_name, query=query)
    socket.reader = asyncio.create_task(socket._read())
    await socket._rerun()
    await socket._until(lambda: socket.drawn(chart) and {"input", "output"} <= socket.widgets.keys())
    return socket
