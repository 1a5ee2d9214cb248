"""The parts of a task file that have keys of their own: documents, examples, metrics, filters, generation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from loomwork.evals.tasks.checks import check_generation, check_metric, check_sampler, check_step
from loomwork.evals.tasks.keys import Keys
from loomwork.evals.tasks.scorers import DEFAULTS
from loomwork.evals.tasks.task import (
    MAX_TOKENS,
    TAKE_FIRST,
    Generation,
    Metric,
    OutputType,
    Pipeline,
    SamplerName,
    Shots,
    Source,
    Step,
)

DATASET_KEYS = frozenset(
    {"data_files", "data_dir", "field", "revision", "trust_remote_code", "num_proc", "download_mode"}
)
SHOT_KEYS = frozenset(
    {"sampler", "split", "samples", "process_docs", "doc_to_text", "doc_to_target", "doc_to_choice", "gen_prefix"}
    | {"target_delimiter", "fewshot_delimiter"}
)
METRIC_KEYS = frozenset({"metric", "aggregation", "higher_is_better", "hf_evaluate", "weight_by_size"})
TOKEN_KEYS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")  # the first that is there counts
GENERATION_KEYS = frozenset({*TOKEN_KEYS, "until", "do_sample", "temperature", "top_p", "num_beams"})


def source_of(keys: Keys) -> Source:
    """Where the documents are: `dataset_path`, `dataset_name`, `dataset_kwargs`."""
    inner = keys.inner("dataset_kwargs")
    files: Mapping[str, tuple[str, ...]] = {}
    field = revision = ""
    if inner is not None:
        inner.check_known(DATASET_KEYS)
        inner.flag("trust_remote_code", False)  # loading scripts of the hub are run in no case
        field, revision = inner.text("field"), inner.text("revision")
        splits = inner.tree.get("data_files")
        if isinstance(splits, Mapping):
            by_split = inner.inner("data_files")
            assert by_split is not None
            files = {split: by_split.texts(split) for split in by_split.tree}
        elif splits is not None:
            files = {"train": inner.texts("data_files")}  # as the library `datasets` calls a split without a name
        folder = inner.text("data_dir")
        if folder:
            files = {s: tuple(f"{folder}/{n}" for n in names) for s, names in files.items()}
    return Source(keys.text("dataset_path"), keys.text("dataset_name"), files, field, revision)


def shots_of(keys: Keys) -> Shots:
    """How examples are shown: `fewshot_split`, `fewshot_config`."""
    split = keys.optional("fewshot_split")
    inner = keys.inner("fewshot_config")
    if inner is None:
        return Shots(split=split)
    inner.check_known(
        SHOT_KEYS, {"fewshot_indices": "lm-evaluation-harness 0.4.13 reads it and does not use it; write `samples`"}
    )
    sampler = inner.text("sampler", "default")
    if fault := check_sampler(sampler):
        raise inner.error(*fault)
    return Shots(
        sampler=cast(SamplerName, sampler),
        split=inner.optional("split") or split,
        samples=_samples(inner),
        process_docs=inner.only_function("process_docs"),
        doc_to_text=inner.field("doc_to_text"),
        doc_to_target=inner.field("doc_to_target"),
        doc_to_choice=inner.field("doc_to_choice"),
        gen_prefix=inner.template("gen_prefix") if "gen_prefix" in inner else None,
        target_delimiter=inner.optional("target_delimiter"),
        fewshot_delimiter=inner.optional("fewshot_delimiter"),
    )


def _samples(inner: Keys) -> Any:
    if "samples" not in inner or inner.function("samples") is not None:
        return inner.function("samples")
    found = inner.plain("samples")
    if not isinstance(found, list) or not found or not all(isinstance(row, Mapping) for row in found):
        raise inner.error("samples", "takes a list of documents, each a mapping of columns")
    return found


def metrics_of(keys: Keys, output: OutputType, processed: bool) -> tuple[Metric, ...]:
    """What is measured: `metric_list`, or what this kind of task has by default.

    Args:
        processed: whether the task has a function `process_results`, that may bring any metric.
    """
    if "metric_list" not in keys:
        return tuple(map(Metric, DEFAULTS[output]))
    found = tuple(_metric(entry, output, processed) for entry in keys.entries("metric_list"))
    if not found:
        raise keys.error("metric_list", "is empty", "leave it out for the metrics that such tasks have by default")
    return found


def _metric(entry: Keys, output: OutputType, processed: bool) -> Metric:
    if "metric" not in entry:
        raise entry.error("metric", "is missing", "each entry names one")
    function = entry.function("metric")
    name = function.__name__ if function is not None else entry.text("metric")
    aggregation = entry.function("aggregation") or entry.text("aggregation")
    settings = {k: entry.plain(k) for k in entry.tree if k not in METRIC_KEYS}
    if not entry.flag("weight_by_size", True):
        raise entry.error("weight_by_size", "is a key of a group's `aggregate_metric_list`", "set it there")
    higher = entry.flag("higher_is_better", True) if "higher_is_better" in entry else None
    made = Metric(name, aggregation, higher, settings, function)
    if fault := check_metric(made, output, processed=processed):
        raise entry.error("metric" if fault[0] == "name" else fault[0], *fault[1:])
    if function is None and not processed and entry.flag("hf_evaluate", False) and name != "exact_match":
        raise entry.error("hf_evaluate", "is supported of exact_match alone", f"{name!r} would come from the hub")
    return made


def pipelines_of(keys: Keys) -> tuple[Pipeline, ...]:
    """What is done with answers before they are scored: `filter_list`, or the first answer as it is."""
    if "filter_list" not in keys:
        return (TAKE_FIRST,)
    made: list[Pipeline] = []
    for entry in keys.entries("filter_list"):
        entry.check_known({"name", "filter"})
        if "name" not in entry or "filter" not in entry:
            raise entry.error("name", "each entry has a `name` and a list `filter`")
        name = entry.text("name")
        if name in {p.name for p in made}:
            raise entry.error("name", f"{name!r} is there twice", "each has a name of its own")
        made.append(Pipeline(name, tuple(_filter(step) for step in entry.entries("filter"))))
    return tuple(made)


def _filter(step: Keys) -> Step:
    if (made := step.function("function")) is not None:
        return Step("custom", {"filter_fn": _filter_class(step, made)})
    read = Step(step.text("function"), {k: step.function(k) or step.plain(k) for k in step.tree if k != "function"})
    if fault := check_step(read):
        key, what, hint = fault
        raise step.error(key if key in step.tree else "function", what, hint)
    return read


def _filter_class(step: Keys, made: Callable[..., Any]) -> Callable[..., Any]:
    """The method of a filter class that the task brings, made with its settings."""
    try:
        found: Callable[..., Any] = made(**{k: step.plain(k) for k in step.tree if k != "function"}).apply
    except (TypeError, ValueError, AttributeError) as error:
        raise step.error("function", f"is no filter: {type(error).__name__}: {error}", "a class with `apply`") from None
    return found


def generation_of(keys: Keys, output: OutputType, delimiter: str) -> Generation:
    """How answers are generated: `generation_kwargs`; without `until` they end at the delimiter of examples."""
    inner = keys.inner("generation_kwargs")
    if inner is None:
        return Generation((delimiter,))
    if output != "generate_until" and inner.tree:
        raise keys.error("generation_kwargs", f"{output} tasks generate nothing", "leave it out")
    inner.check_known(GENERATION_KEYS, {"top_k": "sampling takes `temperature` and `top_p`"})
    if inner.whole("num_beams", 1) != 1:
        raise inner.error("num_beams", "beam search is not supported", "leave it out")
    tokens = next((key for key in TOKEN_KEYS if key in inner), TOKEN_KEYS[0])
    temperature = inner.number("temperature", 0.0)
    sample = inner.flag("do_sample", temperature > 0)
    top_p = inner.number("top_p", 1.0)
    if fault := check_generation(Generation(temperature=temperature, top_p=top_p)):
        raise inner.error(*fault)
    if sample and temperature == 0 and "temperature" in inner:
        sample = False  # greedy, whatever is said of sampling
    return Generation(
        until=inner.texts("until") if "until" in inner.tree else (delimiter,),
        max_tokens=inner.whole(tokens, MAX_TOKENS, least=1),
        temperature=(temperature if "temperature" in inner else 1.0) if sample else 0.0,
        top_p=top_p,
    )
