"""The Catalog page in AppTest: what there is, what one brings, and that nothing bad gets through or is lost."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from aggsim import service
from aggsim.devices import device_to_toml, load_device
from aggsim.models.catalog import DATA
from aggsim.models.spec import ModelSpec
from aggsim.scenario import Scenario
from aggsim.service_own import find_device, find_model, own_device, own_model
from aggsim.share import decode, encode
from tests.factories import make_device
from tests.pages.conftest import App
from tests.pages.test_search import searching

Open = Callable[..., App]

FAST = {"engine": "analytic"}

MOE = (DATA / "Qwen--Qwen3-30B-A3B.json").read_text()
LLAMA = (DATA / "meta-llama--Meta-Llama-3.1-8B.json").read_text()


def config(text: str = LLAMA, **changes: Any) -> str:
    return json.dumps(json.loads(text) | changes)


def show(app: App, section: str) -> None:
    app.test.segmented_control(key="catalog-section").set_value(section)
    app.run()


def write(app: App, key: str, text: str) -> None:
    kinds = (app.test.text_input, app.test.text_area)
    next(widget for kind in kinds for widget in kind if widget.key == key).set_value(text)
    app.run()


def upload(app: App, key: str, name: str, content: bytes) -> None:
    app.test.file_uploader(key=key).set_value((name, content, "application/octet-stream"))
    app.run()


def press(app: App, key: str) -> None:
    app.test.button(key=key).click()
    app.run()


def value(app: App, key: str) -> str:
    return str(app.test.session_state[key])


def errors(app: App) -> str:
    return "\n".join(error.value for error in app.test.error).replace("\\", "")


def is_plain(markdown: str) -> bool:
    """Whoever wrote it, no tag of it is one."""
    return re.search(r"(?<!\\)<", markdown) is None


@pytest.fixture
def bring_model(open_app: Open) -> App:
    app = open_app("engine=analytic", "catalog")
    show(app, "Bring a model")
    return app


@pytest.fixture
def bring_device(open_app: Open) -> App:
    app = open_app("engine=analytic", "catalog")
    show(app, "Bring a device")
    return app


def test_models_and_devices_are_listed(open_app: Open) -> None:
    app = open_app("model=openai/gpt-oss-120b&engine=analytic", "catalog")
    models = service.models()
    read = [name for name, spec in models.items() if isinstance(spec, ModelSpec)]
    assert list(app.test.dataframe[0].value["id"]) == read
    refused = [frame.value for frame in app.test.dataframe if "reason" in frame.value]
    assert [name for frame in refused for name in frame["entry"]] == [name for name in models if name not in read]
    assert app.test.dataframe[0].value["parameters_b"].dtype == float  # sorted as numbers, not as texts
    assert "36 KiB per token, 36 KiB per token of the last 128" in app.html
    assert [chart.partition(":")[0] for chart in app.charts] == ["Models", "Parameters", "KV cache"]
    show(app, "Devices")
    assert list(app.test.dataframe[0].value["id"]) == list(service.devices())
    assert "140 GiB at 4.80 TB/s" in app.html
    assert [chart.partition(":")[0] for chart in app.charts] == ["Roofline of the device", "Devices"]
    assert app.address == {"model": "openai/gpt-oss-120b"} | FAST


def test_a_pasted_config_is_read_at_once(bring_model: App) -> None:
    app = bring_model
    write(app, "own-model-text", config(MOE, mystery_gate=3, other_knob={"a": 1}))
    assert "30.5 billion, 3.35 billion active" in app.html
    assert "48 × GQA 32:4" in app.html
    assert "96 KiB per token" in app.html
    assert "2 fields not understood, so not counted: mystery_gate, other_knob" in app.warnings
    fields = app.test.dataframe[0].value
    assert list(fields["field"][:2]) == ["mystery_gate", "other_knob"]
    assert set(fields["status"]) == {"not understood", "counts", "changes no cost", "null"}
    assert app.address == FAST


def test_planning_with_ones_own_model(bring_model: App) -> None:
    app = bring_model
    write(app, "own-model-name", "acme-30b")
    write(app, "own-model-text", MOE)
    press(app, "own-model-plan")
    own = own_model(MOE, "acme-30b")
    assert app.address == {"model": own} | FAST
    assert "acme-30b · 8 × H200 SXM 141G" in app.html
    answer = service.evaluate(Scenario(model=own, engine="analytic"))
    assert f"at batch {answer.run.batch_size:,}" in app.html
    assert app.test.code[0].value == f'python -m aggsim evaluate "model={own}&engine=analytic"'
    field = next(widget for widget in app.test.selectbox if widget.key == "model")
    assert field.options[0] == "own:acme-30b"
    for page in ("timeline", "search", "method"):
        app.go(page)
        assert app.address.get("model") == own
        assert "acme-30b" in app.html

    # The link is the entry: another session that opens it has it, without anybody's help.
    other = App(encode(answer.scenario))
    assert "acme-30b · 8 × H200 SXM 141G" in other.html
    assert other.charts == App(f"model={own}&engine=analytic").charts
    assert "own:acme-30b" in next(widget for widget in other.test.selectbox if widget.key == "model").options


def test_sessions_do_not_see_each_other(bring_model: App) -> None:
    write(bring_model, "own-model-text", LLAMA)
    press(bring_model, "own-model-add")
    assert bring_model.address["model"].startswith("own:my-model:z")
    other = App("", "catalog")
    assert not any(entry.startswith("own:") for entry in other.test.dataframe[0].value["id"])
    options = next(widget for widget in other.test.selectbox if widget.key == "model").options
    assert not any(option.startswith("own:") for option in options)


def test_an_own_entry_is_listed_changed_and_forgotten(bring_model: App) -> None:
    app = bring_model
    write(app, "own-model-text", LLAMA)
    press(app, "own-model-add")
    first = app.address["model"]
    write(app, "own-model-text", config(num_hidden_layers=16))
    press(app, "own-model-add")
    second = app.address["model"]
    assert first != second
    show(app, "Models")
    own = [entry for entry in app.test.dataframe[0].value["id"] if entry.startswith("own:")]
    assert own == [second]  # of the same name: replaced
    assert "16 of width 4,096" in app.html
    assert app.test.button(key="remove-model").disabled
    show(app, "Bring a model")
    assert json.loads(value(app, "own-model-text"))["num_hidden_layers"] == 16


def test_a_reload_of_the_page_has_every_own_entry(bring_model: App) -> None:
    app = bring_model
    for name in ("one", "two"):
        write(app, "own-model-text", LLAMA)
        write(app, "own-model-name", name)
        press(app, "own-model-add")
    one, two = own_model(LLAMA, "one"), own_model(LLAMA, "two")
    assert app.address == {"model": two, "own_models": one} | FAST
    link = "&".join(f"{key}={text}" for key, text in app.address.items())
    other = App(f"{link}&own_devices=own:x:zAAAA,{own_device(make_device(), 'chip')}", "catalog")
    assert list(other.test.dataframe[0].value["model"][:3]) == ["own:two", "own:one", "MiniMaxAI/MiniMax-M2.5"]
    assert "own:x" in other.warnings
    show(other, "Devices")
    assert other.test.dataframe[0].value["device"][0] == "own:chip"
    other.go("plan")
    assert other.address == {"model": two} | FAST


def test_the_uploaded_file_counts_before_the_text(bring_model: App) -> None:
    app = bring_model
    write(app, "own-model-text", LLAMA)
    upload(app, "own-model-file", "qwen3-moe.json", MOE.encode())
    assert "30.5 billion" in app.html
    assert value(app, "own-model-name") == "qwen3-moe"
    assert value(app, "own-model-text") == LLAMA


BAD_CONFIGS = [
    ("<script>alert(1)</script>", "not JSON"),
    ('{"a":' * 500 + "1" + "}" * 500, "nested too deeply"),
    ("[" * 100_000, "nested too deeply"),
    (config(hidden_size=10**400), "hidden_size: is an enormous number"),
    ('{"hidden_size": ' + "9" * 10_000 + "}", "number without end"),
    (config(hidden_size=0), "hidden_size: is 0"),
    (config(num_hidden_layers=-3), "num_hidden_layers: is -3"),
    (LLAMA.replace("4096", "NaN"), "NaN is no finite number"),
    (LLAMA.replace("4096", "1e999"), "1e999 is no finite number"),
    ('{"vocab_size": 1, "vocab_size": 2}', '"vocab_size" is given twice'),
    (config(model_type="<img src=x onerror=alert(1)>", architectures=["<b>X</b>"]), "no model family"),
    (" " * 2_500_000 + LLAMA, "at most 2 MB (this has 2.5 MB)"),
]


def test_a_bad_config_gets_one_message_and_nothing_is_lost(bring_model: App) -> None:
    app = bring_model
    write(app, "own-model-name", "kept")
    for text, words in BAD_CONFIGS:
        write(app, "own-model-text", text)
        assert len(app.test.error) == 1, text[:80]
        assert words in errors(app)
        assert is_plain(app.test.error[0].value)
        assert len(errors(app)) < 500
        assert value(app, "own-model-text") == text
        assert value(app, "own-model-name") == "kept"
        assert not any(button.key == "own-model-plan" for button in app.test.button)
        assert app.address == FAST
    write(app, "own-model-text", LLAMA)
    assert errors(app) == ""


def test_a_large_file_gets_one_message(bring_model: App) -> None:
    app = bring_model
    write(app, "own-model-text", LLAMA)
    upload(app, "own-model-file", "<b>big</b>.json", b"{" + b" " * 50_000_000 + b"}")
    assert len(app.test.error) == 1
    assert "at most 2 MB" in errors(app)
    assert value(app, "own-model-text") == LLAMA


def test_a_bad_name_gets_one_message(bring_model: App, bring_device: App) -> None:
    write(bring_model, "own-model-text", LLAMA)
    for name in ("<script>alert(1)</script>", "", "a b", "x" * 65):
        write(bring_model, "own-model-name", name)
        write(bring_device, "own-device-name", name)
        for app in (bring_model, bring_device):
            assert len(app.test.error) == 1
            assert "1 to 64 letters" in errors(app)
            assert is_plain(app.test.error[0].value)


def test_what_is_too_long_for_a_link_says_so(bring_model: App) -> None:
    notes = "".join(f"{i * 7919 % 104_729:x}" for i in range(2000))
    write(bring_model, "own-model-text", config(notes=notes))
    said = "\n".join(caption.value for caption in bring_model.test.caption)
    assert "a link to it works on this server only" in said.replace("\\", "")
    press(bring_model, "own-model-plan")
    own = bring_model.address["model"]
    assert own.startswith("own:my-model:s")
    assert "my-model" in App(f"model={own}&engine=analytic").html


def test_planning_with_ones_own_device(bring_device: App) -> None:
    app = bring_device
    assert value(app, "own-device-name") == "H200_SXM_141G-mine"
    write(app, "own-device-name", "H200_fast")
    before = app.charts
    write(app, "own-device-memory_bandwidth_bytes_per_s", "9.6")
    assert app.charts != before
    assert "Memory-bound below 103 FLOP/byte in BF16" in app.charts[0]
    press(app, "own-device-plan")
    asked = decode(app.address).scenario
    device = find_device(asked.device)
    assert (device.device_id, device.memory_bandwidth_bytes_per_s) == ("own:H200_fast", 9.6e12)
    assert device.memory_bytes == load_device("H200_SXM_141G").memory_bytes
    answer = service.evaluate(asked)
    assert "8 × own:H200 fast" in app.html
    assert f"at batch {answer.run.batch_size:,}" in app.html
    app.go("catalog")
    show(app, "Devices")
    assert "9.60 TB/s" in app.html
    app.go("search")
    assert "own:H200 fast" in app.html


def test_a_device_starts_from_another(bring_device: App) -> None:
    app = bring_device
    app.enter("own-device-start", "MI300X_192G")
    assert value(app, "own-device-memory_bytes") == "192"
    assert value(app, "own-device-vendor") == "amd"
    assert value(app, "own-device-name") == "MI300X_192G-mine"


def test_a_device_without_memory_gets_one_message_and_nothing_is_lost(bring_device: App) -> None:
    app = bring_device
    write(app, "own-device-memory_bandwidth_bytes_per_s", "5.5")
    valid = app.charts
    for text in ("", "0", "-64", "NaN", "inf", "1e999", "<b>64</b>", "lots"):
        write(app, "own-device-memory_bytes", text)
        assert app.html.count("is not possible") == 1, text
        assert "allowed: a number from 0.01 to 1,000,000 GiB" in app.html
        assert "Not possible yet: Memory. The roofline is that of the last valid values." in errors(app)
        assert "<b>" not in app.html
        assert app.charts == valid
        assert value(app, "own-device-memory_bandwidth_bytes_per_s") == "5.5"
        assert app.test.button(key="own-device-plan").disabled
    write(app, "own-device-memory_bytes", "64")
    assert errors(app) == ""
    assert not app.test.button(key="own-device-plan").disabled


def test_links_have_levels(bring_device: App) -> None:
    app = bring_device
    app.test.number_input(key="own-device-levels").set_value(3)
    app.run()
    assert value(app, "own-device-links.2.size") == "8"
    write(app, "own-device-links.2.bandwidth_bytes_per_s", "-1")
    assert "Link 3, bandwidth" in app.html
    write(app, "own-device-links.2.bandwidth_bytes_per_s", "900")
    app.test.checkbox(key="own-device-links.2.full_mesh").check()
    app.run()
    press(app, "own-device-add")
    links = find_device(app.address["device"]).links
    assert (len(links), links[2].bandwidth_bytes_per_s, links[2].full_mesh) == (3, 900e9, True)


def test_a_device_comes_as_toml_and_goes_as_toml(bring_device: App) -> None:
    app, mine = bring_device, make_device(memory_bytes=48.0 * 2**30)
    write(app, "own-device-toml", device_to_toml(mine))
    assert value(app, "own-device-name") == "ROUND_64G"
    assert value(app, "own-device-memory_bytes") == "48"
    assert value(app, "own-device-levels") == "2"
    press(app, "own-device-add")
    assert app.address["device"] == own_device(mine, "ROUND_64G")
    upload(app, "own-device-file", "h100.toml", device_to_toml(load_device("H100_SXM_80G")).encode())
    assert value(app, "own-device-name") == "H100_SXM_80G"


BAD_DEVICES = [
    ("<html>", "a TOML file"),
    ("memory_bytes = 1\nmemory_bytes = 2", "a TOML file"),
    (device_to_toml(make_device()).replace("memory_bytes = 6", "memory_bytes = -6"), "memory_bytes"),
    (device_to_toml(make_device()).replace("memory_bytes", "memory"), "memory"),
    (device_to_toml(make_device()).replace("memory_bytes = 68719476736.0", "memory_bytes = nan"), "memory_bytes"),
    (device_to_toml(make_device(device_id="X")).replace('"X"', '"<b>X</b>"'), "device_id"),
    ("a = [" + "[" * 5000, "a TOML file"),
    ("# " + "x" * 30_000, "at most 20,000"),
]


def test_a_bad_device_file_changes_nothing(bring_device: App) -> None:
    app = bring_device
    write(app, "own-device-memory_bytes", "77")
    for text, words in BAD_DEVICES:
        write(app, "own-device-toml", text)
        assert len(app.test.error) == 1, text[:80]
        assert words in errors(app)
        assert "The form below is as it was." in errors(app)
        assert is_plain(app.test.error[0].value)
        assert value(app, "own-device-memory_bytes") == "77"


@pytest.mark.parametrize(
    ("key", "entry", "page"),
    [
        ("model", "own:x", "plan"),
        ("model", "own:x:zAAAA", "search"),
        ("model", "own:x:z" + "A" * 4000, "catalog"),
        ("device", "own:x:s" + "0" * 64, "plan"),
        ("device", "own:<b>x</b>:zAAAA", "catalog"),
    ],
)
def test_a_damaged_entry_in_a_link_is_told_and_the_rest_kept(open_app: Open, key: str, entry: str, page: str) -> None:
    app = open_app(f"{key}={entry}&input=1234&engine=analytic", page)
    assert "Ignored in the link" in app.warnings
    assert f'{key}: "own:' in app.warnings
    assert app.address["input"] == "1234"
    assert key not in app.address
    assert all(is_plain(warning.value) for warning in app.test.warning)


def test_own_devices_are_searched_together(open_app: Open) -> None:
    own = own_device(make_device(vendor="nvidia", memory_bytes=90.0 * 2**30), "chip")
    app = searching(open_app, f"device={own},H100_SXM_80G&engine=analytic&model=Qwen/Qwen3-8B")
    assert app.warnings == ""
    assert any("own:chip" in str(table.value) for table in app.test.dataframe)
    assert app.address["device"] == f"{own},H100_SXM_80G"
    app = searching(open_app, f"device={own},own:x:zAAAA&engine=analytic")
    assert "own:x" in app.warnings
    assert "the link is damaged" in app.warnings


def test_an_entry_of_the_catalog_is_edited_as_a_copy(open_app: Open) -> None:
    app = open_app("model=Qwen/Qwen3-8B&device=L40S_48G&engine=analytic", "catalog")
    press(app, "edit-model")
    assert json.loads(value(app, "own-model-text")) == json.loads((DATA / "Qwen--Qwen3-8B.json").read_text())
    assert value(app, "own-model-name") == "Qwen3-8B-mine"
    assert "8.19 billion" in app.html
    show(app, "Devices")
    press(app, "edit-device")
    assert value(app, "own-device-name") == "L40S_48G-mine"
    write(app, "own-device-memory_bytes", "96")
    press(app, "own-device-add")
    show(app, "Devices")
    assert "96 GiB at 864" not in app.html
    press(app, "edit-device")  # one's own: under its own name, so that adding it again replaces it
    assert value(app, "own-device-name") == "L40S_48G-mine"
    assert value(app, "own-device-memory_bytes") == "96"


def test_a_model_that_does_not_fit_the_form_says_so(bring_model: App) -> None:
    app = App("tp=8&devices=8&engine=analytic", "catalog")
    show(app, "Bring a model")
    write(app, "own-model-text", config(num_attention_heads=12, num_key_value_heads=4, hidden_size=1536))
    press(app, "own-model-add")
    assert "Showing the last valid scenario" in app.warnings
    assert find_model(value(app, "model")).model_id == "own:my-model"
