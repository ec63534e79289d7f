"""A deployment → the package's operator lists bound to one framework's tables, in the first number formats that were
measured for every operator."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from itertools import product
from typing import Any

from aggsim.engines.silicon_collectives import DONOR, add_qk_norm, borrows, once_each, with_donor
from aggsim.engines.silicon_forward import MemoryFormulas
from aggsim.engines.silicon_models import has_own_config, model_folder
from aggsim.engines.silicon_ops import Call, Phase, Program, members
from aggsim.engines.silicon_quantization import MATMUL_TABLES, Formats, candidates
from aggsim.engines.silicon_tables import Tables, captured_log, measured_backends, open_tables
from aggsim.models.spec import ModelSpec
from aggsim.scenario import ParallelLayout, Quantization
from aggsim.units import GIB

__all__ = ["Compiled", "compile_deployment"]

PROBE_TOKENS = 512
LARGE_PASS = 2**20
"""Tokens: activations of such a pass are far above their floor."""
PACKAGE_ERRORS = (ValueError, RuntimeError, AssertionError, KeyError)
"""What the package raises where it cannot build something, or has no table for it."""
TABLES_OF = {
    "MlaBmm": "mla_bmm",
    "MlaModuleContext": "mla_context_module",
    "MlaModuleGeneration": "mla_generation_module",
    "DsaContext": "dsa_context_module",
    "DsaGeneration": "dsa_generation_module",
}
"""Operator family → its table, where the package may fill gaps with the table of another framework."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A deployment that can be priced."""

    program: Program
    memory: MemoryFormulas
    notes: tuple[str, ...]


@functools.lru_cache(maxsize=256)
def compile_deployment(
    model: ModelSpec, system: str, backend: str, layout: ParallelLayout, quantization: Quantization, num_mtp_tokens: int
) -> Compiled | str:
    """The deployment, or in one sentence what it lacks. The caller holds silicon_tables.LOCK."""
    tables = open_tables(system, backend)
    refusal, wanted = "", ""
    chosen_formats = tuple(
        candidates(model, quantization, backend=backend, system=system, own_config=has_own_config(model))
    )
    lenders = (None, *(name for name in measured_backends(system) if name != backend and model.is_moe))
    for lender, formats in product(lenders, chosen_formats):
        with captured_log() as log:
            try:
                built, config = _build(model, tables, layout, formats, num_mtp_tokens, lender)
                missing = _unmeasured(built.program)
            except PACKAGE_ERRORS as error:
                refusal = refusal or f"aiconfigurator-core does not build this deployment ({_shown(error)})"
                continue
        chosen = _formats_line(model, config)
        if not missing:
            fallback = (f"First choice, but not measured there: {wanted}.",) if wanted else ()
            lines = tuple(f"aiconfigurator-core: {_shown(line)}" for line in log)
            return Compiled(
                program=built.program,
                memory=built.memory,
                notes=tuple(dict.fromkeys((*_notes(built, tables, chosen, num_mtp_tokens), *fallback, *lines))),
            )
        wanted = wanted or chosen
        refusal = refusal or f"{tables.title}: {missing} was not measured as {chosen}, tp {layout.tp}" + (
            f", experts cut {layout.moe_tp} · {layout.ep}" if model.is_moe else ""
        )
    return refusal


def _build(
    model: ModelSpec,
    tables: Tables,
    layout: ParallelLayout,
    formats: Formats,
    num_mtp_tokens: int,
    lender: str | None,
) -> tuple[Compiled, Any]:
    """The deployment, noting only what was substituted, and the package's model configuration with all formats.

    lender: the framework whose table the experts are read from; None: the tables' own.
    """
    import aiconfigurator_core
    from aiconfigurator_core.sdk.backends.factory import get_backend
    from aiconfigurator_core.sdk.config_builders import apply_nextn, build_model_config
    from aiconfigurator_core.sdk.engine import EngineHandle, build_engine_spec_json
    from aiconfigurator_core.sdk.models import get_model

    config = build_model_config(
        tp_size=layout.tp,
        pp_size=layout.pp,
        # replicas of a dense model have nothing in common, those of a MoE model share experts
        attention_dp_size=layout.dp // layout.moe_dp if model.is_moe else 1,
        moe_tp_size=layout.moe_tp if model.is_moe else 1,
        moe_ep_size=layout.ep if model.is_moe else 1,
        gemm_quant_mode=formats.gemm,
        moe_quant_mode=formats.moe,
        kvcache_quant_mode=formats.kvcache,
        fmha_quant_mode=formats.fmha,
    )
    apply_nextn(config, num_mtp_tokens)
    with model_folder(model) as folder:
        built = get_model(folder, config, tables.backend)
    spec = build_engine_spec_json(
        built,
        model_path=model.model_id,
        system=tables.system,
        backend=tables.backend,
        backend_version=tables.version,
        kv_block_size=None,
        systems_path=None,
        nextn=num_mtp_tokens,
        database=tables.database,
    )
    operators = json.loads(spec)
    substituted = _substitute([*operators["context_ops"], *operators["generation_ops"]], tables.backend)
    substituted += once_each(operators, tables.backend) + add_qk_norm(operators, model, layout.tp)

    def handle(spec: dict[str, Any]) -> Any:
        return EngineHandle(bytes(aiconfigurator_core.engine_spec_bincode_from_json(json.dumps(spec))))

    lent: dict[str, Any] = {}
    if borrows(tables.backend, tables.system):
        donor = open_tables(tables.system, DONOR)
        reduced = with_donor(operators, donor.version)
        lent |= {} if reduced is None else {"CustomAllReduce": handle(reduced)}
        substituted += (f"All-reduces are read from the table of {donor.title}, whose kernel vLLM fuses with norms.",)
    if lender is not None:
        donor = open_tables(tables.system, lender)
        engine = operators["engine"] | {"backend": donor.backend, "backend_version": donor.version}
        lent["Moe"] = handle(operators | {"engine": engine})
        substituted += (f"Experts were not measured with {tables.title}: they are read from {donor.title}.",)
    program = Program(
        handle=handle(operators),
        lent=lent,
        prefill=Phase(operators["context_ops"], decode=False),
        decode=Phase(operators["generation_ops"], decode=True),
    )

    def activation(tokens: int) -> float:
        use = get_backend(tables.backend)._get_memory_usage(
            built, tables.database, 1, 1, 1, 0, num_tokens=tokens, mtp_activation_scaling=False
        )
        return float(use["activations"]) * GIB

    memory = MemoryFormulas(
        weight=float(sum(op.get_weights() for op in built.context_ops)) / layout.pp,
        kv_cache_of=functools.cache(lambda tokens: float(built.get_kvcache_bytes_per_sequence(tokens)) / layout.pp),
        activation_floor=activation(1),
        activation_per_token=activation(LARGE_PASS) / LARGE_PASS,
    )
    return Compiled(program=program, memory=memory, notes=substituted), config


def _substitute(operators: list[dict[str, Any]], backend: str) -> tuple[str, ...]:
    """Point matmuls at the tables of MATMUL_TABLES, in place; what was done, in sentences."""
    done = {}
    for matmul in (part["Gemm"] for operator in operators for part in members(operator) if "Gemm" in part):
        instead = MATMUL_TABLES.get((backend, matmul["quant_mode"]))
        if instead is not None:
            done[matmul["quant_mode"]] = instead
            matmul["quant_mode"] = instead
    return tuple(
        f"Matmuls in {wanted} are read from the table of {instead}: {backend}'s own hold a benchmark's launch time."
        for wanted, instead in done.items()
    )


def _unmeasured(program: Program) -> str:
    """The first operator without a table, empty: all have one. A table that exists answers every shape."""
    for phase in (program.prefill, program.decode):
        for index, op in enumerate(phase.ops):
            call = Call(decode=phase.decode, indices=(index,), batch_size=1, seq_len=PROBE_TOKENS)
            try:
                program.evaluate(call)
            except PACKAGE_ERRORS:
                return op.title
    return ""


def _notes(built: Compiled, tables: Tables, chosen: str, num_mtp_tokens: int) -> list[str]:
    program = built.program
    notes = [f"Measured tables: {tables.title}, read as {chosen}.", *built.notes]
    families = {family for phase in (program.prefill, program.decode) for op in phase.ops for family in op.families}
    used = {TABLES_OF[family] for family in families if family in TABLES_OF} & tables.donors.keys()
    for donor in sorted({tables.donors[table] for table in used}):
        names = " and ".join(sorted(table for table in used if tables.donors[table] == donor))
        notes.append(f"What {tables.backend} lacks in the tables {names} was measured with {donor}.")
    if num_mtp_tokens:
        notes.append(
            f"Drafting {num_mtp_tokens} tokens costs as many more layers in every decode pass; the drafting layers' "
            "weights are not counted."
        )
    return notes


def _formats_line(model: ModelSpec, config: Any) -> str:
    parts = [f"matmuls {config.gemm_quant_mode.name}"]
    if model.is_moe:
        parts.append(f"experts {config.moe_quant_mode.name}")
    parts += [f"KV cache {config.kvcache_quant_mode.name}", f"attention {config.fmha_quant_mode.name}"]
    return ", ".join(parts)


def _shown(problem: object) -> str:
    """The package's words, without places on this machine and at a length for the screen."""
    return re.sub(r"\s+(at |from )?/\S+", "", " ".join(str(problem).split()))[:200].rstrip(". ")
