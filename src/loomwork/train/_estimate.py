"""What the training steps of a recipe would cost. Nothing of the recipe is run: what is not there yet is assumed, and
said, or not known, and said."""

from __future__ import annotations

import json
import platform
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from loomwork.core.artifact import Model, digest
from loomwork.core.context import Context, context, use_context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import LoomError
from loomwork.core.explain import plan
from loomwork.core.home import Home
from loomwork.core.key import device, installed_version, precision
from loomwork.core.recipe import Recipe, StepCall
from loomwork.learn.parts import fewer_for_logits, part_tokens
from loomwork.learn.settings import Adapter
from loomwork.train._estimate_base import Base, Bases, Unknown
from loomwork.train._estimate_rows import Lengths, columns_read, longest_row, read_lengths

if TYPE_CHECKING:
    from loomwork.learn.cost import Cost, Load

SAMPLED = 500  # rows that are tokenised
WATCHED, WATCHED_ROWS = 32_768, 2048  # held-out tokens of a causal model and rows of another at each look, at most
FORWARD = 1 / 3  # of a step's work is its forward pass


@dataclass
class Estimate:
    """Of one training step.

    Args:
        step, use: its name in the recipe, and what it uses.
        parameters, trained_parameters: of its model.
        steps, tokens: of its run; tokens are those that are read, fillings not counted.
        memory_bytes: by what holds it.
        seconds_per_step: of the training itself.
        seconds, cpu_seconds: of all steps, and the work of all cores in them; None where they are not known.
        joules: of it; None where the machine does not say what it draws.
        assumed: what was taken to be so, in sentences.
        unknown: why there is no estimate, or "".
    """

    step: str
    use: str
    parameters: int | None = None
    trained_parameters: int | None = None
    steps: int | None = None
    tokens: int | None = None
    memory_bytes: dict[str, int] = field(default_factory=dict)
    seconds_per_step: float | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None
    joules: float | None = None
    assumed: list[str] = field(default_factory=list)
    unknown: str = ""


@dataclass(frozen=True)
class Data:
    """Of a dataset: how many rows can be learned, and a sample of them."""

    rows: float
    sample: Lengths


def estimate(home: Home, recipe: Recipe) -> list[Estimate]:
    """Each training step of a recipe that would run, in their order."""
    plans = plan(home, recipe)
    found = []
    for name, call in recipe.steps.items():
        if "training" in call.step.groups and plans[name].verdict != "hit":
            with use_context(Context(device=device(), precision=precision())):
                found.append(_Asked(Bases(home, recipe, plans), call).estimate())
    return found


@dataclass
class _Asked:
    """One call that is estimated."""

    bases: Bases
    call: StepCall

    def estimate(self) -> Estimate:
        made = Estimate(self.call.name, self.call.use)
        try:
            self._fill(made)
        except Unknown as error:
            made.unknown = str(error)
        except LoomError as error:
            made.unknown = error.what
        except Exception as error:  # what one step cannot be asked must not hide the others
            made.unknown = f"{type(error).__name__}: {error}"
        return made

    def _fill(self, made: Estimate) -> None:
        from loomwork.learn.cost import counted, memory_bytes

        kind = self.bases.kind(self.call)
        base = self.bases.base(self.call.inputs["base"])
        made.assumed += base.assumed
        data = self._data(base, kind, made)
        load, made.steps, tokens = self._load(base, data, kind, made)
        made.parameters, made.trained_parameters = counted(load)
        cost = self._cost(load)
        teacher = self._teacher(load, made)
        made.memory_bytes = memory_bytes(load, cost, made.parameters, made.trained_parameters)
        if teacher is not None:
            made.memory_bytes["teacher"] = teacher.memory_bytes
        made.assumed.append(f"measured: {cost.how}")
        made.seconds_per_step = load.rows * mean(load.lengths) * cost.seconds_per_token + cost.seconds_per_update
        if made.steps is None:
            return
        made.tokens = round(tokens)
        looked = self._looked(kind, tokens) * FORWARD
        made.seconds = (tokens + looked) * cost.seconds_per_token + made.steps * cost.seconds_per_update
        if cost.cpu_seconds_per_token:
            work = (tokens + looked) * cost.cpu_seconds_per_token
            made.cpu_seconds = work + made.steps * cost.cpu_seconds_per_update
        if teacher is not None:
            read = teacher.tokens(tokens, data)
            made.seconds += read * FORWARD * teacher.cost.seconds_per_token
            if made.cpu_seconds is not None:
                made.cpu_seconds += read * FORWARD * teacher.cost.cpu_seconds_per_token
        made.joules = None if cost.watts is None else cost.watts * made.seconds

    # -- what it learns from

    def _data(self, base: Base, kind: str, made: Estimate) -> Data | None:
        """The rows and their lengths; None where the data is not there yet."""
        from loomwork.train.find_lr import sampled

        reference = self.call.inputs["data"]
        data = self.bases.artifact(reference, Dataset)
        if data is None:
            made.assumed.append(f"the data {reference} is not there yet")
            return None
        if base.tokenizer is None:
            made.assumed.append("the tokenizer is not there yet, so the lengths of the rows are not known")
            return Data(len(data), Lengths([]))
        with tempfile.TemporaryDirectory() as folder, use_context(replace(context(), work_folder=Path(folder))):
            use, settings = self.call.use, self.call.settings
            some = sampled(data, columns_read(use, settings, data), SAMPLED, 0, Path(folder) / "sample")
            taken = len(some)
            sample = read_lengths(use, settings, some, Model(base.tokenizer), base.config, kind)
        if taken < len(data):
            made.assumed.append(f"all rows are as long as {taken} of them, taken at random")
        return Data(len(sample.tokens) * len(data) / taken, sample)

    # -- what it comes to

    def _load(self, base: Base, data: Data | None, kind: str, made: Estimate) -> tuple[Load, int | None, float]:
        """The run, its steps, and its tokens; no steps where they follow from data that is not there."""
        from loomwork.learn.cost import Load

        s = self.call.settings
        arguments = self.call.step.arguments(self.call.step.settings_model(**s))
        longest = longest_row(self.call.use, s, base.config, kind)
        sample = data.sample if data and data.sample.tokens else Lengths([])
        lengths = sample.tokens or [longest]
        usual = mean(lengths)
        steps: int | None = None
        tokens = 0.0
        if not sample.tokens:
            made.assumed.append(f"every row has {longest:,} tokens, the most that the step reads")
        if self.call.use == "train.pretrain":
            batch, wanted = s["batch_tokens"], s["tokens"]
            epoch = data.rows * usual if data and sample.tokens else 0.0
            rows = max(1, int(batch / usual))
            # A text's first token is read and not predicted; best fit fills nearly all of a batch.
            tokens = wanted * usual / (usual - 1) if wanted else epoch
            steps = max(1, round(tokens / batch)) if tokens else None
        else:
            sides = 2 if self.call.use == "train.embed" else 1  # a pair is two texts
            rows = sides * arguments["rows"].batch
            if data or s["steps"]:
                steps = arguments["rows"].count(round(data.rows / sides) if data else 0)
                tokens = steps * rows * usual
        if steps is None:
            setting = "tokens" if self.call.use == "train.pretrain" else "steps"
            made.assumed.append(f"how long it runs follows from the data, and is not known: or set {setting}")
        config = base.config
        if self.call.use in ("train.classify", "train.tag"):
            if not sample.classes:
                made.assumed.append("two classes: the labels are not there yet")
            config.num_labels = sample.classes or 2
        tuning = arguments.get("tuning") or Adapter(freeze_layers=s["freeze_layers"])
        if self.call.use == "train.embed" and s["freeze_layers"] is not None:
            made.assumed.append("frozen layers are computed at every step: the run keeps what they give, and is faster")
        training, hidden = arguments["training"], s.get("hidden_share", 0.0)
        with_logits = {"masked": hidden, "seq2seq": 0.5}.get(kind)
        if with_logits is not None:
            limit = part_tokens(training.part_tokens, context().device)
            training = replace(training, part_tokens=fewer_for_logits(limit, with_logits, config.vocab_size))
        load = Load(
            kind,  # type: ignore[arg-type]
            config,
            lengths,
            rows,
            training,
            tuning,
            s["dropout"],
            targets=sample.targets or ([longest // 2] if kind == "seq2seq" else []),
            hidden_share=hidden,
        )
        return load, steps, tokens

    def _teacher(self, load: Load, made: Estimate) -> _Teacher | None:
        """What a teacher that is asked during the run costs."""
        import torch

        from loomwork.learn.cost import counted

        reference = self.call.inputs.get("teacher")
        if reference is None:
            return None
        base = self.bases.base(reference)
        asked = replace(load, config=base.config, adapter=Adapter())
        parameters, _ = counted(asked)
        made.assumed.append("asking the teacher takes a third of what training it would")
        size = torch.finfo(getattr(torch, context().precision)).bits // 8 if load.kind == "causal" else 4
        return _Teacher(self._cost(asked), size * parameters, load.kind == "causal")

    def _looked(self, kind: str, tokens: float) -> float:
        """Tokens of held-out data that are read on the way."""
        reference = self.call.inputs.get("holdout")
        if reference is None:
            return 0.0
        looks = int(self.call.settings["looks"])
        held = self.bases.artifact(reference, Dataset)
        data = self.bases.artifact(self.call.inputs["data"], Dataset)
        if held is None or data is None or not len(data):
            return 0.0
        epochs = float(self.call.settings.get("epochs") or 1.0)
        usual = tokens / epochs / len(data)
        most = WATCHED if kind == "causal" else WATCHED_ROWS * usual
        return looks * min(most, usual * len(held))

    def _cost(self, load: Load) -> Cost:
        """The measured cost of a run, kept in the home for this machine and this shape."""
        from loomwork.learn.cost import Cost, measure

        config = {k: v for k, v in load.config.to_dict().items() if k not in ("_name_or_path", "transformers_version")}
        lengths = sorted(load.lengths)
        more = [load.dropout, sorted(load.targets), load.hidden_share]
        shape = [load.kind, config, lengths, load.rows, asdict(load.training), asdict(load.adapter), more]
        running = context()
        versions = [installed_version(name, "loom estimate") for name in ("torch", "transformers")]
        machine = [platform.node(), platform.processor(), running.device, running.precision, running.threads, *versions]
        file = self.bases.home.folder("measured") / f"{digest([shape, machine, FORMAT])[:24]}.json"
        if file.is_file():
            return Cost(**json.loads(file.read_bytes()))
        found = measure(load)
        file.write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")
        return found


@dataclass(frozen=True)
class _Teacher:
    """Of a model that is asked: a causal one at each step, a classifier once for each row."""

    cost: Cost
    memory_bytes: int
    each_step: bool

    def tokens(self, trained: float, data: Data | None) -> float:
        if self.each_step or data is None or not data.sample.tokens:
            return trained
        return data.rows * mean(data.sample.tokens)


FORMAT = 3  # of a kept measurement, and of how it is made
