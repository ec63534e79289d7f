"""Method: how the numbers come about, and what they leave out."""

import streamlit as st

from aggsim import service
from aggsim.report import method_words as words
from aggsim.report.derivation import headline
from aggsim.ui import method_view as view
from aggsim.ui.foot import draw_foot, draw_warnings
from aggsim.ui.header import draw_header, page_body
from aggsim.ui.navigation import require_app
from aggsim.ui.tiles import draw_headline

require_app()
evaluation = draw_header("Method")
device, model = service.find_device(evaluation.scenario.device), service.find_model(evaluation.scenario.model)
with page_body() as theme:
    view.draw_method_style()
    draw_headline(headline(evaluation), "Follow a number of the Plan page down to one call of one operator.")
    view.draw_derivation(evaluation, device)
    view.draw_operators(evaluation, device, theme)

    rules, limits, sources, glossary = st.tabs(["Rules", "Known limits", "Sources", "Glossary"])
    with rules:
        view.draw_notes(words.rules(evaluation))
    with limits:
        view.draw_notes(words.limits(evaluation))
        view.draw_section("Where the original is wrong", "engine analytic follows it unless one of these is asked for")
        view.draw_all_notes(words.corrections())
    with sources:
        view.draw_all_notes(words.provenance(evaluation, model, device))
        view.draw_section("Held to recordings", "every change of aggsim is tested against them")
        view.draw_all_notes(words.goldens(evaluation))
        view.draw_section("Workload presets", "a start to argue from")
        view.draw_all_notes(words.presets())
        view.draw_section("Held to measurements", "closed-loop benchmarks, row by row on the page Accuracy")
        view.draw_all_notes(words.accuracy())
    with glossary:
        view.draw_glossary()
    draw_warnings(evaluation)
    draw_foot(evaluation)
