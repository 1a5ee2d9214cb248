"""Train a student on what its teacher says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt

from loomwork.core.artifact import Model
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.ranges import Share as WholeShare
from loomwork.core.step import Card, Group, step
from loomwork.learn.settings import CLASS_METRICS, Adapter, Rows, Share, Training, made_parts, together
from loomwork.train.teacher import Taught


@step(
    makes="model",
    uses=["torch", "transformers", "tokenizers", "safetensors", "numpy"],
    heavy=True,
    parallel=True,
    parts=made_parts,
    checks=together(*CLASS_METRICS),
)
def distill(
    base: Model,
    data: Dataset,
    teacher: Model | None = None,
    holdout: Dataset | None = None,
    cached: Taught | None = None,
    *,
    divergence: Literal["forward", "reverse", "jensen_shannon"] = "forward",
    temperature: Annotated[float, Gt(0)] = 1.0,
    mixture: Annotated[float, Gt(0), Lt(1)] = 0.5,
    teacher_share: WholeShare = 0.5,
    hidden_weight: Annotated[float, Ge(0)] = 0.0,
    layer_map: dict[Annotated[int, Ge(0)], Annotated[int, Ge(0)]] | None = None,
    text: str = "text",
    label: str = "label",
    template: str = "",
    max_tokens: Annotated[int, Ge(0)] = 0,
    dropout: Share = 0.0,
    rows: Annotated[Rows, Group()] = Rows(epochs=2.0),
    training: Annotated[Training, Group()] = Training(),
    tuning: Annotated[Adapter, Group()] = Adapter(),
    out: Path,
) -> Card:
    """Distil a causal language model or a classifier: learn what is right, and what the teacher says.

    The loss is (1 - teacher_share) * cross-entropy + teacher_share * divergence from the teacher + hidden_weight * the
    mean squared error of hidden states. Where the teacher's states are wider, the student's go through a linear layer
    that is trained and then thrown away. The teacher computes without gradients and dropout, in the same precision.
    What a classifier says of the rows is computed once and kept in the work folder. Of a causal model no logits of all
    tokens are held; train.teacher keeps them for several students.

    Args:
        base: the student as it begins: of train.student, or another model; of the teacher's tokenizer, if it is a
            causal model or hidden states are compared.
        data: of causal models conversations (`messages`), token rows (`input_ids`) or texts, as train.sft and
            train.pretrain take; of classifiers labelled texts. With teacher_share 1, texts need no label.
        teacher: a causal model, or a classifier such as train.classify makes. It, or `cached`.
        holdout: the same as data. Watched is a causal student's own loss; of a classifier, the mixed one.
        cached: what train.teacher made of the same data: no teacher is run then.
        divergence: of the logits. reverse makes a student leave out what the teacher finds possible, rather than find
            possible what the teacher leaves out; jensen_shannon lies between. `cached` takes forward alone.
        temperature: that both are softened by.
        mixture: the teacher's share of the mean distribution of jensen_shannon.
        teacher_share: 0 learns from data alone, 1 from the teacher alone.
        hidden_weight: the weight of hidden states, of learned tokens in a causal model and of all in a classifier.
        layer_map: {student's layer: teacher's}, 0 for the embedding, 1 for the first; null for all layers of the
            student, evenly spread.
        text: the column of texts.
        label: of a classifier's data, the column of classes.
        template: of conversations; "" for the tokenizer's own.
        max_tokens: of a row; 0 for what the models read, at most 1,024.
        dropout: of the student.

    Raises:
        InputError: settings do not go together, the teacher is another kind of model, tokenizers differ, or the data
            does not fit.

    Source: Hinton et al. 2015, arXiv:1503.02531; Agarwal et al. 2023, arXiv:2306.13649 (divergences); Romero et al.
    2014, arXiv:1412.6550, and Jiao et al. 2019, arXiv:1909.10351 (hidden states).
    """
    from loomwork.learn.distill_loss import Mix
    from loomwork.learn.divergence import Divergence
    from loomwork.train._distilled import Run, distil_causal, distil_classes, layers_of

    if hidden_weight:
        training.refuse("train.distill", ["shard"], "hidden_weight compares states, and split weights give none")
    if (teacher is None) == (cached is None):
        raise InputError("train.distill needs teacher or cached, one of the two", "cached is what train.teacher makes")
    if cached is not None and (divergence != "forward" or hidden_weight):
        raise InputError("cached log-probabilities do for the forward divergence alone", "give the teacher instead")
    if layer_map is not None and not hidden_weight:
        raise InputError(
            "layer_map is given and hidden_weight is 0", "set hidden_weight: 1, say, or leave layer_map out"
        )
    if mixture != 0.5 and divergence != "jensen_shannon":
        raise InputError(f"mixture is of jensen_shannon, and the divergence is {divergence}", "leave it out")
    if not teacher_share and not hidden_weight:
        raise InputError(
            "teacher_share and hidden_weight are 0: nothing is learned from the teacher", "set teacher_share: 0.5, say"
        )
    layers: dict[int, int] = {}
    if hidden_weight and teacher is not None:
        if tuning.adapter in ("prompt", "prefix", "p_tuning"):
            raise InputError(f"{tuning.adapter} moves the states that hidden_weight compares", "set hidden_weight: 0")
        mine, theirs = (layers_of(model.read_json("config.json")) for model in (base, teacher))
        layers = layer_map if layer_map is not None else {i: round(i * theirs / mine) for i in range(1, mine + 1)}
        if not layers or max(layers) > mine or max(layers.values()) > theirs:
            raise InputError(f"layer_map {layers} has layers beyond the student's {mine} or the teacher's {theirs}")
    classifies = teacher is not None and _is_classifier(teacher)
    how: dict[str, Any] = {
        "divergence": divergence,
        "temperature": temperature,
        "mixture": mixture,
        "teacher_share": teacher_share,
        "hidden_weight": hidden_weight,
    }
    source = teacher or cached
    assert source is not None
    made = {"step": "train.distill", "base": base.id, "teacher": source.id, "data": data.digest, **how}
    made |= {"layer_map": {str(mine): theirs for mine, theirs in layers.items()}}
    run = Run(
        base,
        data,
        teacher,
        holdout,
        cached,
        Mix(Divergence(divergence, temperature, mixture), teacher_share, hidden_weight, layers),
        text,
        label,
        template,
        max_tokens,
        dropout,
        rows,
        training,
        tuning,
        made,
    )
    metrics, notes = (distil_classes if classifies else distil_causal)(run, out)
    if layers:
        notes = [*notes, "hidden states: " + ", ".join(f"{m} from {t}" for m, t in layers.items())]
    return Card(metrics=metrics, notes=notes)


def _is_classifier(teacher: Model) -> bool:
    """Whether a teacher is a classifier; else it is a causal language model.

    Raises:
        InputError: it is neither.
    """
    from loomwork.models.folder import CAUSAL

    named = teacher.read_json("config.json").get("architectures") or []
    if any(name.endswith("ForSequenceClassification") for name in named):
        return True
    if named and not any(name.endswith(CAUSAL) for name in named):
        raise InputError(
            f"the teacher {teacher.path} is a {named[0]}: train.distill takes causal language models and classifiers",
            "give one of these: train.sft and train.classify make them",
        )
    return False
