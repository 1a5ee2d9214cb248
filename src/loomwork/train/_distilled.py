"""The two ways of train.distill: causal language models and classifiers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loomwork.core.artifact import Artifact, Model, digest
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError, did_you_mean
from loomwork.learn.settings import CLASS_METRICS, Adapter, Rows, Training

if TYPE_CHECKING:
    import torch

    from loomwork.learn.distill_loss import Mix, Projections


@dataclass(frozen=True)
class Run:
    """What a run is asked for: the settings of train.distill.

    Args:
        made: what is written as the training in `loomwork.json`, and what makes this run another one.
    """

    base: Model
    data: Dataset
    teacher: Model | None
    holdout: Dataset | None
    cached: Artifact | None
    mix: Mix
    text: str
    label: str
    template: str
    max_tokens: int
    dropout: float
    rows: Rows
    training: Training
    tuning: Adapter
    made: dict[str, Any]

    @property
    def mark(self) -> list[Any]:
        given = [self.text, self.label, self.template, self.max_tokens, self.dropout, asdict(self.rows)]
        return [self.base.id, self.data.digest, self.made, *given]


def distil_causal(run: Run, out: Path) -> tuple[dict[str, float], list[str]]:
    """Train a causal language model; returns the card's metrics and notes."""
    import torch

    from loomwork.learn.causal_run import run_causal
    from loomwork.learn.distill_causal import DistilledCausal
    from loomwork.learn.distributed import rank
    from loomwork.learn.order import RowOrder
    from loomwork.learn.teachers import CachedTeacher, LiveTeacher, Teacher
    from loomwork.learn.written import write_trained
    from loomwork.models.chat_template import ChatTemplate, load_tokenizer, save_chat
    from loomwork.models.folder import read_about
    from loomwork.train._token_rows import columns_of, read_learned, require_one_tokenizer

    run.training.check_stop()
    work = context().work
    columns = columns_of(run.data, run.text, run.template)
    if run.teacher is not None:
        require_one_tokenizer(run.base, run.teacher)

    def read(given: Dataset, name: str) -> Any:
        return read_learned(
            run.base, given, run.text, run.template, run.max_tokens, work / name, run.tuning.tokens_before
        )

    sequences = read(run.data, "train.tokens")
    held = None if run.holdout is None else read(run.holdout, "holdout.tokens")
    teacher: Teacher
    if run.cached is not None:
        teacher = CachedTeacher(run.cached, sequences, work / "cached", run.mix.divergence.temperature)
        past: Any = teacher.about
    else:
        assert run.teacher is not None
        layers = tuple(run.mix.layers.values())
        teacher = LiveTeacher(run.teacher, getattr(torch, context().precision), layers)
        past = read_about(run.teacher)

    def objective(model: Any, decoder: Any) -> torch.nn.Module:
        vocabulary = model.get_output_embeddings().weight.shape[0]
        if isinstance(teacher, CachedTeacher) and int(teacher.ids.max()) >= vocabulary:
            raise InputError(f"the cached log-probabilities are of tokens that the student's {vocabulary} lack")
        projections = None
        if isinstance(teacher, LiveTeacher) and run.mix.layers:
            projections = projections_of(run, model.config.hidden_size, teacher.width)
        return DistilledCausal(decoder, teacher, run.mix, projections).to(context().device)

    order = RowOrder(len(sequences), run.rows.batch, run.training.seed)
    steps = run.rows.count(len(sequences))
    done = run_causal(
        run.base, sequences, order, steps, run.training, run.tuning, holdout=held, dropout=run.dropout,
        mark=run.mark, objective=objective,
    )  # fmt: skip
    steps = write_trained(
        done, run.base, "causal", about_of(run, past, *columns), run.tuning, out,
        order=order, row_ids=sequences.row_ids, lengths=sequences.lengths,
    )  # fmt: skip
    if columns == ("messages",) and not rank():
        save_chat(ChatTemplate(load_tokenizer(run.base), run.template), out)
    return done.metrics | {"epochs": steps * run.rows.batch / len(sequences)}, done.notes


def distil_classes(run: Run, out: Path) -> tuple[dict[str, float], list[str]]:
    """Train a classifier; returns the card's metrics and notes."""
    import torch

    from loomwork.learn.distill_classes import DistilledClasses, TeacherStates, teacher_logits
    from loomwork.learn.encoder_run import batches_for, open_trained, run_encoder
    from loomwork.learn.judges import ClassJudge
    from loomwork.learn.objectives import Outputs
    from loomwork.learn.order import RowOrder
    from loomwork.learn.written import write_trained
    from loomwork.models.classifier import TASK
    from loomwork.models.folder import read_about, within_context
    from loomwork.train._token_rows import require_one_tokenizer
    from loomwork.train.classify import label_config

    teacher = run.teacher
    if teacher is None:
        raise InputError("a classifier needs its teacher", "what it says is kept during a run; `cached` is of tokens")
    if run.template:
        raise InputError("template is for conversations, and the teacher is a classifier", "leave it out")
    config = teacher.read_json("config.json")
    if config.get("problem_type") == "regression":
        raise InputError(f"{teacher.path} gives numbers, not classes", "train.classify with target: number")
    names = config.get("id2label") or {}
    classes = [str(names[i]) for i in sorted(names, key=int)]
    judge = ClassJudge(len(classes)) if run.mix.teacher_share < 1 else None  # else labels are not read
    run.training.check_stop(CLASS_METRICS if judge else ())
    limit, notes = within_context(
        run.base, run.max_tokens or read_about(teacher).max_tokens or 128, run.tuning.tokens_before
    )
    read = read_rows(run, run.data, classes, limit)
    held = None if run.holdout is None else read_rows(run, run.holdout, classes, limit)
    head = label_config(classes)
    model = open_trained(run.base, "classes", run.training, run.tuning, dropout=run.dropout, **head)
    dtype, work = getattr(torch, context().precision), context().work
    read_as = [run.text, run.label, run.mix.teacher_share < 1, limit, bool(run.mix.layers), str(dtype)]
    of = digest([teacher.id, run.base.id, run.data.digest, *read_as])[:16]
    states = projections = None
    if run.mix.layers:
        require_one_tokenizer(run.base, teacher)
        layers = list(run.mix.layers.values())
        file = work / f"teacher-{of}-{digest(layers)[:16]}.states"
        states = TeacherStates(teacher, read.ids, layers, dtype, file, work / f"teacher-{of}.npy")
        projections = projections_of(run, model.config.hidden_size, states.width)
    objective = DistilledClasses(Outputs(model, dtype), run.mix, projections).to(context().device)

    def batches(given: Read, name: str, states: TeacherStates | None) -> Any:
        right, said = torch.tensor(given.targets), teacher_logits(teacher, given.texts, work / name)

        def make(chosen: list[int], step: int) -> dict[str, Any]:
            more = (states.of(chosen),) if states else ()
            return {"targets": (right[chosen], said[chosen], *more)}

        order = RowOrder(len(given.ids), run.rows.batch, run.training.seed)
        return batches_for(model, given.ids, order, make, lambda c: float(len(c)))

    steps = run.rows.count(len(read.ids))
    taken = batches(read, f"teacher-{of}.npy", states)
    watched = None
    if held is not None and run.holdout is not None:
        watched = batches(held, f"teacher-{of}-{run.holdout.digest[:16]}.npy", None)
    done = run_encoder(model, objective, taken, watched, steps, run.training, run.tuning, run.mark, judge=judge)
    learned = (run.text, run.label) if run.mix.teacher_share < 1 else (run.text,)
    about = about_of(run, read_about(teacher), *learned)
    about = replace(about, task=TASK, engine="torch", max_tokens=limit)
    lengths = [len(i) for i in read.ids]
    steps = write_trained(
        done, run.base, "classes", about, run.tuning, out,
        order=taken.order, row_ids=read.row_ids, lengths=lengths, config=head,
    )  # fmt: skip
    metrics = done.metrics | {
        "epochs": steps * run.rows.batch / len(read.ids),
        "rows": float(len(read.ids)),
        "rows_left_out": float(read.left_out),
        "rows_cut": float(read.cut),
        "classes": float(len(classes)),
    }
    return metrics, [*done.notes, *notes]


@dataclass(frozen=True)
class Read:
    """Texts that a classifier learns from. Args as in Labelled; `texts` as they are."""

    texts: list[str]
    ids: list[list[int]]
    targets: list[int]
    row_ids: list[bytes]
    left_out: int
    cut: int


def read_rows(run: Run, data: Dataset, classes: list[str], max_tokens: int) -> Read:
    """Read and tokenise texts, and their classes where these are learned from.

    Raises:
        InputError: no row has a text, or a class is none of the teacher's.
    """
    from loomwork.models.encoder import encode_counted, load_tokenizer

    labelled = run.mix.teacher_share < 1
    columns = [run.text, *([run.label] if labelled else [])]
    data.require(*columns)
    data.require_rows()
    tokenizer, place = load_tokenizer(run.base), {name: i for i, name in enumerate(classes)}
    texts: list[str] = []
    targets: list[int] = []
    row_ids: list[bytes] = []
    left_out = 0
    for row in data.rows([*columns, "row_id"]):
        name = str(row[run.label]) if labelled and row[run.label] is not None else ""
        if not isinstance(row[run.text], str) or not row[run.text].strip() or (labelled and not name.strip()):
            left_out += 1
            continue
        if labelled and name not in place:
            raise InputError(
                f"the label {name!r} is none of the teacher's classes",
                did_you_mean(name, classes) or f"it knows {', '.join(classes[:20])}",
            )
        texts.append(row[run.text])
        targets.append(place[name] if labelled else 0)
        row_ids.append(bytes(row["row_id"]))
    if not texts:
        raise InputError(f"no row of {data.path} has a text in {run.text!r}" + (" and a label" if labelled else ""))
    ids, cut = encode_counted(tokenizer, texts, max_tokens)
    return Read(texts, ids, targets, row_ids, left_out, cut)


def projections_of(run: Run, width: int, teacher_width: int) -> Projections:
    """For the hidden states of a run."""
    from loomwork.learn.distill_loss import Projections

    return Projections(run.mix.layers, width, teacher_width, run.training.seed)


def about_of(run: Run, teacher: Any, *columns: str) -> Any:
    """The student's About: what its teacher has learned, it may have learned too."""
    from loomwork.models.folder import read_about, taught
    from loomwork.train._token_rows import merged_past

    about = read_about(run.base)
    about = replace(about, **merged_past(about, teacher))
    return replace(about, training={**run.made, **asdict(run.training)}, trained_on=taught(about, run.data, *columns))


def layers_of(config: Mapping[str, Any]) -> int:
    """How many layers a config.json tells of.

    Raises:
        InputError: it does not say.
    """
    names = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
    found = next((config[name] for name in names if config.get(name)), None)
    if found is None:
        raise InputError("config.json does not say how many layers the model has", "set hidden_weight: 0")
    return int(found)
