"""Entries of one's own: packed into the link, read back anywhere, and refused in one sentence where they are wrong."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aggsim import service
from aggsim.cli import main
from aggsim.devices import device_to_toml, load_device
from aggsim.errors import AggsimError, InputError, UnsupportedModelError
from aggsim.models.catalog import DATA, MAX_CONFIG_BYTES, load_model, model_ids
from aggsim.planning.deployment import Load
from aggsim.scenario import Scenario
from aggsim.scenario_own import MAX_OWN_CHARS, OwnId, named
from aggsim.scenario_search import SearchQuestion
from aggsim.service_own import find_device, find_model, is_in_store, own_config, own_device, own_model, read_config
from aggsim.share import decode, encode, from_json, to_json
from aggsim.share_search import decode_search, encode_search
from aggsim.store import default_store
from tests.factories import make_device

LLAMA = (DATA / "meta-llama--Meta-Llama-3.1-8B.json").read_text()


def config(**changes: Any) -> str:
    return json.dumps(json.loads(LLAMA) | changes)


def packed(kind_text: bytes) -> str:
    return base64.urlsafe_b64encode(zlib.compress(kind_text, 9)).decode().rstrip("=")


@pytest.fixture
def no_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AGGSIM_CACHE_DIR", "off")
    default_store.cache_clear()
    yield
    monkeypatch.undo()
    default_store.cache_clear()


@pytest.mark.parametrize("model_id", model_ids())
def test_every_catalog_model_fits_a_link_and_comes_back_equal(model_id: str) -> None:
    text = (DATA / f"{model_id.replace('/', '--', 1)}.json").read_bytes()
    own = own_model(text, "copy")
    found, original = find_model(own), load_model(model_id)
    assert own.startswith("own:copy:z")
    assert len(own) <= MAX_OWN_CHARS
    assert (found.model_id, found.layers, found.quantization) == ("own:copy", original.layers, original.quantization)
    assert own_config(own) == json.loads(text)


@pytest.mark.parametrize("device_id", service.devices())
def test_every_catalog_device_fits_a_link_and_comes_back_equal(device_id: str) -> None:
    own = own_device(load_device(device_id), "copy")
    found = find_device(own)
    assert found.device_id == "own:copy"
    assert {**_fields(found), "device_id": device_id} == _fields(load_device(device_id))
    found.mma_ops_per_s.clear()
    assert find_device(own).mma_ops_per_s


def test_a_model_and_a_device_make_a_link_of_6_kb_at_most() -> None:
    scenario = Scenario(model="own:m:z" + "A" * (MAX_OWN_CHARS - 7), device="own:d:z" + "A" * (MAX_OWN_CHARS - 7))
    assert len(scenario.model) + len(scenario.device) == 6000
    assert decode(encode(scenario)).scenario == scenario
    with pytest.raises(InputError, match="model"):
        Scenario(model=scenario.model + "A")


def test_the_id_depends_on_the_contents_alone() -> None:
    shuffled = json.dumps(dict(reversed(json.loads(LLAMA).items())), indent=3)
    assert own_model(shuffled, "mine") == own_model(LLAMA, "mine")
    assert own_model(config(hidden_size=8192), "mine") != own_model(LLAMA, "mine")


def test_the_answer_is_that_of_the_catalog_entry_it_copies() -> None:
    own = Scenario(
        model=own_model(LLAMA, "mine"),
        device=own_device(load_device("H200_SXM_141G"), "chip"),
        engine="analytic",
    )
    theirs = service.evaluate(own.replace(model="meta-llama/Meta-Llama-3.1-8B", device="H200_SXM_141G"))
    mine = service.evaluate(own)
    assert (mine.ttft_s, mine.tpot_s, mine.run.batch_size) == (theirs.ttft_s, theirs.tpot_s, theirs.run.batch_size)


def test_every_question_takes_own_entries(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model, slow = own_model(LLAMA, "mine"), make_device(vendor="nvidia")
    device, other = own_device(slow, "chip"), own_device(make_device(memory_bytes=40 * 2.0**30), "small")
    base = Scenario(model=model, device=device, tp=2, devices=2, engine="analytic")
    assert decode(encode(base)).scenario == base
    assert from_json(json.loads(json.dumps(to_json(base)))) == base
    assert {change.value for change in service.explain(base).changes if change.key == "device"} >= {"H100_SXM_80G"}

    question = SearchQuestion.of(base.replace(tp=None), device=[device, other, "L40S_48G"])
    assert decode_search(encode_search(question)).question == question
    found = {candidate.scenario.device for candidate in service.search(question).candidates}
    assert found == {device, other, "L40S_48G"}
    sizing = service.size(question, Load(output_tokens_per_s=1000.0))
    assert {one.candidate.scenario.device for one in sizing.sizings} == found

    answer = service.evaluate(base)
    assert main(["evaluate", encode(base), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["tpot_ms"] == answer.tpot_s * 1e3
    assert (said["scenario"]["model"], said["row"]["model_id"]) == (model, "own:mine")
    lines = tmp_path / "lines.jsonl"
    lines.write_text(json.dumps({"model": model, "device": device, "tp": 2, "devices": 2, "engine": "analytic"}))
    assert main(["evaluate", "--jsonl", str(lines)]) == 0
    assert json.loads(capsys.readouterr().out)["tpot_ms"] == answer.tpot_s * 1e3
    assert main(["search", encode_search(question), "--target-tokens-per-s", "1000"]) == 0
    text = capsys.readouterr().out
    assert "own:chip" in text
    assert OwnId.parse(device, "device").data not in text


def test_own_devices_are_never_priced_from_the_tables_of_another() -> None:
    faster = load_device("H200_SXM_141G")
    own = own_device(faster, "H200_SXM_141G")
    assert service.evaluate(Scenario(device=own)).engine.name == "analytic"


def test_what_is_too_long_for_a_link_is_kept_by_this_server() -> None:
    unlike = "".join(f"{i * 7919 % 104_729:x}" for i in range(2000))
    own = own_model(config(notes=unlike), "long")
    assert is_in_store(own)
    assert len(own) < 100
    assert not is_in_store(own_model(LLAMA, "short"))
    assert find_model(own).unread_fields == ("notes",)
    elsewhere = own[:-1] + ("0" if own[-1] != "0" else "1")
    with pytest.raises(InputError, match=r"own:long.*too long for a link, which works only where it was made"):
        find_model(elsewhere)


@pytest.mark.usefixtures("no_store")
def test_a_server_without_a_store_says_that_it_cannot_keep_it() -> None:
    unlike = "".join(f"{i * 7919 % 104_729:x}" for i in range(2000))
    with pytest.raises(InputError, match="keeps no store"):
        own_model(config(notes=unlike), "long")


@pytest.mark.parametrize(
    ("entry_id", "words"),
    [
        ("own:", "damaged"),
        ("own:x", "damaged"),
        ("own:x:z", "damaged"),
        ("own:x:qAAAA", "damaged"),
        ("own:<b>x</b>:zAAAA", "damaged"),
        ("own:x:zA", "damaged"),
        ("own:x:zAAAA", "damaged"),
        ("own:x:z" + packed(b"x" * (MAX_CONFIG_BYTES + 1)), "at most 2,000,000 bytes once unpacked"),
        ("own:x:z" + packed(LLAMA.encode())[:-30], "cut off or damaged"),
        ("own:x:z" + packed(b"[]"), "one JSON object"),
        ("own:x:z" + packed(b"{" * 900), "JSON"),
        ("own:x:z" + packed(b'{"a":' * 400 + b"1" + b"}" * 400), "nested too deeply"),
        ("own:x:z" + packed(b"\xff\xfe"), "JSON"),
        ("own:x:s" + "0" * 64, "works only where it was made"),
    ],
)
@pytest.mark.parametrize("kind", ["model", "device"])
def test_a_damaged_entry_is_told_in_one_sentence(entry_id: str, words: str, kind: str) -> None:
    if kind == "device":
        words = words.replace("2,000,000", "20,000")
    find = {"model": find_model, "device": find_device}[kind]
    with pytest.raises(InputError, match=words) as raised:
        find(entry_id)
    assert raised.value.field == kind
    assert len(str(raised.value)) < 600
    with pytest.raises(InputError, match=kind):
        service.evaluate(Scenario(**{kind: entry_id}))


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zlib.compress(b"0" * 2_200_000, 9)
    entry_id = "own:x:z" + base64.urlsafe_b64encode(bomb).decode().rstrip("=")
    assert len(entry_id) < MAX_OWN_CHARS  # 2.2 MB in a link of 3 kB
    lengths: list[int] = []
    create = zlib.decompressobj

    class Watched:
        def __init__(self) -> None:
            self.inner = create()
            self.eof, self.unused_data = False, b""

        def decompress(self, data: bytes, most: int) -> bytes:
            out = self.inner.decompress(data, most)
            lengths.append(len(out))
            return out

    monkeypatch.setattr("aggsim.service_own.zlib.decompressobj", Watched)
    for find, most in ((find_model, MAX_CONFIG_BYTES), (find_device, 20_000)):
        with pytest.raises(InputError, match="once unpacked"):
            find(entry_id)
        assert lengths.pop() == most + 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON: Expecting value"),
        ("<html><script>alert(1)</script></html>", "Expecting value"),
        ("[1, 2]", "one JSON object"),
        ("{" * 100_000, "Expecting property name|nested too deeply"),
        ('{"a":' * 200 + "1" + "}" * 200, "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
        ('{"hidden_size": NaN}', "NaN is no finite number"),
        ('{"hidden_size": 1e999}', "1e999 is no finite number"),
        ('{"hidden_size": -Infinity}', "-Infinity is no finite number"),
        ('{"hidden_size": 1, "hidden_size": 2}', '"hidden_size" is given twice'),
        ('{"hidden_size": ' + "9" * 5000 + "}", "number without end"),
        ("{" + " " * MAX_CONFIG_BYTES + "}", "at most 2 MB"),
    ],
    ids=lambda text: text[:30],
)
def test_text_that_is_no_config_is_refused(text: str, words: str) -> None:
    for read in (read_config, own_model):
        with pytest.raises(InputError, match=words) as raised:
            read(text, "mine")
        assert len(str(raised.value)) < 400


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"hidden_size": 0}, "hidden_size", "is 0, not a whole number from 1"),
        ({"num_attention_heads": -32}, "num_attention_heads", "is -32"),
        ({"vocab_size": 10**400}, "vocab_size", "an enormous number"),
        ({"num_hidden_layers": 1e30}, "num_hidden_layers", "1e.30|enormous"),
        ({"intermediate_size": "<b>11008</b>"}, "intermediate_size", "not a whole number"),
        ({"model_type": "<img src=x onerror=alert(1)>", "architectures": ["X"]}, "model_type", "no model family"),
    ],
)
def test_a_config_with_a_bad_size_names_the_field(changes: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(UnsupportedModelError, match=words) as raised:
        read_config(config(**changes), "mine")
    assert raised.value.field == field


@pytest.mark.parametrize(
    "name", ["", " ", "<script>alert(1)</script>", "a" * 65, "a b", "a/b", "a:b", "-x", "ä", "a\nb"]
)
def test_a_name_that_will_not_do_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"name: .* 1 to 64 letters"):
        read_config(LLAMA, name)
    with pytest.raises(InputError, match=r"name: .* 1 to 64 letters"):
        own_device(make_device(), name)


@pytest.mark.parametrize(
    "changes",
    [
        {"memory_bytes": 0.0},
        {"memory_bytes": float("nan")},
        {"memory_bandwidth_bytes_per_s": -1.0},
        {"mma_ops_per_s": {}},
        {"mma_ops_per_s": {"bf16": float("inf")}},
        {"links": ()},
        {"vendor": "<b>\n</b>"},
    ],
)
def test_a_device_with_a_bad_value_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(changes))):
        own_device(make_device(**changes), "chip")


def test_names_on_screen_are_short_and_no_catalog_id() -> None:
    own = own_model(LLAMA, "mine")
    assert named(own) == "own:mine"
    assert named("Qwen/Qwen3-8B") == "Qwen/Qwen3-8B"
    assert named("own:" + "x" * 500) == "own:" + "x" * 64
    with pytest.raises(AggsimError):
        find_model(named(own))


def _fields(spec: Any) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in spec.__slots__}


def test_files_become_fields_of_a_query(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "acme-8b").mkdir()
    folder = tmp_path / "acme-8b" / "config.json"
    folder.write_text(LLAMA)
    chip = tmp_path / "chip.toml"
    chip.write_text(device_to_toml(make_device()))
    assert main(["own", str(folder)]) == 0
    assert main(["own", str(chip), "--name", "round"]) == 0
    fields = capsys.readouterr().out.split()
    assert fields == [f"model={own_model(LLAMA, 'acme-8b')}", f"device={own_device(make_device(), 'round')}"]
    assert main(["evaluate", "&".join([*fields, "tp=1", "devices=1", "engine=analytic"])]) == 0
    assert "acme-8b · 1 × own:round" in capsys.readouterr().out
    for path in (tmp_path, tmp_path / "none.json"):
        assert main(["own", str(path)]) == 2
        assert "a config.json or a device's TOML file" in capsys.readouterr().err
