"""What the training steps of a recipe would cost. Nothing of the recipe is run: what is not there yet is assumed, and
said, or not known, and said."""

from __future__ import annotations

import json
import platform
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from loomwork.core.artifact import Artifact, Model, digest
from loomwork.core.call import find
from loomwork.core.context import Context, context, use_context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError, LoomError, MissingDependency
from loomwork.core.explain import Why, plan
from loomwork.core.home import Home
from loomwork.core.key import device, installed_version, precision
from loomwork.core.recipe import Recipe, Reference, StepCall

if TYPE_CHECKING:
    from loomwork.learn.cost import Cost, Load

KINDS = {"train.pretrain": "causal", "train.sft": "causal", "train.classify": "classes", "train.tag": "tokens"}
SAMPLED = 500  # rows that are tokenised
WATCHED = {"causal": 32_768, "classes": 2048 * 64, "tokens": 2048 * 64}  # tokens of held-out data at each look, at most
FORWARD = 1 / 3  # of a step's work is its forward pass


class Unknown(Exception):
    """What an estimate would need is not there; says what."""


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


@dataclass
class Base:
    """A model to begin with, as far as it is known: its config of transformers, and a folder with its tokenizer."""

    config: Any
    tokenizer: Path | None
    assumed: list[str]


@dataclass(frozen=True)
class Data:
    """Of a dataset: how many rows can be learned, their lengths in tokens (a sample), and its classes."""

    rows: float
    lengths: list[int]
    classes: int = 0


def estimate(home: Home, recipe: Recipe) -> list[Estimate]:
    """Each training step of a recipe that would run, in their order."""
    plans = plan(home, recipe)
    found = []
    for name, call in recipe.steps.items():
        if "training" in call.step.groups and plans[name].verdict != "hit":
            with use_context(Context(device=device(), precision=precision())):
                found.append(_Asked(home, recipe, plans, call).estimate())
    return found


@dataclass
class _Asked:
    """One call that is estimated."""

    home: Home
    recipe: Recipe
    plans: dict[str, Why]
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

        kind = KINDS.get(self.call.use)
        if kind is None:
            raise Unknown(f"{self.call.use} is not estimated")
        base = self._base(self.call.inputs["base"])
        made.assumed += base.assumed
        data = self._data(base, kind, made)
        load, made.steps, tokens = self._load(base, data, kind, made)
        made.parameters, made.trained_parameters = counted(load)
        cost = self._cost(load)
        made.memory_bytes = memory_bytes(load, cost, made.parameters, made.trained_parameters)
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
        made.joules = None if cost.watts is None else cost.watts * made.seconds

    # -- what there is to begin with

    def _artifact(self, reference: Reference | None, kind: type[Artifact]) -> Any:
        """An input that is there already, or None."""
        if reference is None:
            return None
        if reference.kind == "step" and self.plans[reference.target].verdict != "hit":
            return None
        sources = {n: (w.artifact, w.run) for n, w in self.plans.items() if w.verdict == "hit"}
        found = find(self.home, reference, kind, sources)
        return found.artifact if found else None

    def _base(self, reference: Reference) -> Base:
        """The model that a reference will be, from its maker's settings where it is not there yet."""
        here = self._artifact(reference, Model)
        if here is not None:
            return Base(_config(here.path), here.path, [])
        if reference.kind != "step":
            raise Unknown(f"its base is {reference}, and there is no such name yet")
        maker = self.recipe.steps[reference.target]
        if maker.use == "train.base":
            folder = _folder_of(maker.settings)
            return Base(_config(folder), folder, [])
        if maker.use == "train.init":
            return self._fresh(maker)
        if maker.use in KINDS or maker.use in ("train.merge", "train.extend"):
            base = self._base(maker.inputs["base"])
            if maker.use == "train.extend":
                added = len(maker.settings["tokens"] or []) + maker.settings["words"]
                base.config.vocab_size += added
                base.assumed.append(f"{maker.name} adds {added} tokens")
            return base
        raise Unknown(f"its base is made by {maker.name} ({maker.use}), which has not run")

    def _fresh(self, maker: StepCall) -> Base:
        """What train.init will make."""
        from loomwork.train.init import fresh_config

        reference = maker.inputs["tokenizer"]
        tokenizer = self._artifact(reference, Artifact)
        assumed = []
        if tokenizer is not None:
            from loomwork.models.chat_template import load_tokenizer

            opened: Any = load_tokenizer(tokenizer)
        else:
            trainer = self.recipe.steps.get(reference.target)
            if trainer is None or trainer.use != "train.tokenizer":
                raise Unknown(f"the tokenizer {reference} of its base is not there yet")
            size = trainer.settings["vocabulary"]
            assumed.append(f"the tokenizer comes to all of its {size:,} tokens")
            opened = _Size(size)
        settings = {name: maker.settings[name] for name in ("architecture", "layers", "context_tokens")}
        config = fresh_config(settings["architecture"], opened, settings["layers"], settings["context_tokens"])
        return Base(config, tokenizer.path if tokenizer is not None else None, assumed)

    # -- what it learns from

    def _data(self, base: Base, kind: str, made: Estimate) -> Data | None:
        """The rows and their lengths; None where the data is not there yet."""
        from loomwork.train.find_lr import sampled

        reference = self.call.inputs["data"]
        data = self._artifact(reference, Dataset)
        if data is None:
            made.assumed.append(f"the data {reference} is not there yet")
            return None
        if base.tokenizer is None:
            made.assumed.append("the tokenizer is not there yet, so the lengths of the rows are not known")
            return Data(len(data), [])
        with tempfile.TemporaryDirectory() as folder, use_context(replace(context(), work_folder=Path(folder))):
            some = sampled(data, self._columns(data), SAMPLED, 0, Path(folder) / "sample")
            taken = len(some)
            lengths, classes = self._read(some, Model(base.tokenizer), base.config, kind)
        if taken < len(data):
            made.assumed.append(f"all rows are as long as {taken} of them, taken at random")
        return Data(len(lengths) * len(data) / taken, lengths, classes)

    def _columns(self, data: Dataset) -> list[str]:
        s = self.call.settings
        by_step: dict[str, list[Any]] = {
            "train.pretrain": [s.get("text")],
            "train.classify": [s.get("text"), s.get("label")],
            "train.tag": [s.get("words"), s.get("tags")],
            "train.sft": ["messages" if "messages" in data.schema.names else "input_ids"],
        }
        wanted = by_step[self.call.use]
        columns = [*wanted, *(["loss_mask"] if "loss_mask" in data.schema.names and "input_ids" in wanted else [])]
        data.require(*columns)
        return columns

    def _read(self, data: Dataset, model: Model, config: Any, kind: str) -> tuple[list[int], int]:
        """Lengths of the rows of a dataset as the step reads them, and the number of its classes."""
        from loomwork.learn.sequences import read_chats, read_texts, read_token_rows
        from loomwork.models.chat_template import ChatTemplate, load_tokenizer
        from loomwork.train.classify import read_labelled
        from loomwork.train.tag import read_tagged

        s, file, longest = self.call.settings, context().work / "rows", self._longest(config)
        if self.call.use == "train.classify":
            numbers = s["target"] == "number"
            labelled = read_labelled(model, data, s["text"], s["label"], longest, numbers=numbers)
            return [len(ids) for ids in labelled.ids], max(1, len(labelled.classes))
        if self.call.use == "train.tag":
            tagged = read_tagged(model, data, s["words"], s["tags"], longest)
            return [len(ids) for ids in tagged.ids], len(tagged.classes)
        tokenizer = load_tokenizer(model)
        if self.call.use == "train.pretrain":
            sequences = read_texts(data, s["text"], tokenizer, longest, file)
        elif "messages" in data.schema.names:
            sequences = read_chats(data, ChatTemplate(tokenizer, s["template"]), longest, file)
        else:
            sequences = read_token_rows(data, longest, file)
        return [int(n) for n in sequences.lengths], 0

    def _longest(self, config: Any) -> int:
        from loomwork.models.folder import positions

        limit = positions(config.to_dict())
        if self.call.use == "train.pretrain":
            return int(self.call.settings["context_tokens"]) or min(2048, limit)
        return min(int(self.call.settings["max_tokens"]), limit)

    # -- what it comes to

    def _load(self, base: Base, data: Data | None, kind: str, made: Estimate) -> tuple[Load, int | None, float]:
        """The run, its steps, and its tokens; no steps where they follow from data that is not there."""
        from loomwork.learn.cost import Load

        s = self.call.settings
        arguments = self.call.step.arguments(self.call.step.settings_model(**s))
        longest = self._longest(base.config)
        lengths = (data.lengths if data else []) or [longest]
        usual = mean(lengths)
        steps: int | None = None
        tokens = 0.0
        if not (data and data.lengths):
            made.assumed.append(f"every row has {longest:,} tokens, the most that the step reads")
        if self.call.use == "train.pretrain":
            batch, wanted = s["batch_tokens"], s["tokens"]
            epoch = data.rows * usual if data and data.lengths else 0.0
            rows = max(1, int(batch / usual))
            # A text's first token is read and not predicted; best fit fills nearly all of a batch.
            tokens = wanted * usual / (usual - 1) if wanted else epoch
            steps = max(1, round(tokens / batch)) if tokens else None
        else:
            rows = arguments["rows"].batch
            if data or s["steps"]:
                steps = arguments["rows"].count(round(data.rows) if data else 0)
                tokens = steps * rows * usual
        if steps is None:
            setting = "tokens" if self.call.use == "train.pretrain" else "steps"
            made.assumed.append(f"how long it runs follows from the data, and is not known: or set {setting}")
        config = base.config
        if kind != "causal":
            if not (data and data.classes):
                made.assumed.append("two classes: the labels are not there yet")
            config.num_labels = (data.classes if data else 0) or 2
        load = Load(kind, config, lengths, rows, arguments["training"], arguments["tuning"], s["dropout"])  # type: ignore[arg-type]
        return load, steps, tokens

    def _looked(self, kind: str, tokens: float) -> float:
        """Tokens of held-out data that are read on the way."""
        reference = self.call.inputs.get("holdout")
        if reference is None:
            return 0.0
        looks = int(self.call.settings["looks"])
        held = self._artifact(reference, Dataset)
        data = self._artifact(self.call.inputs["data"], Dataset)
        if held is None or data is None or not len(data):
            return 0.0
        epochs = float(self.call.settings.get("epochs") or 1.0)
        return looks * min(WATCHED[kind], tokens / epochs * len(held) / len(data))

    def _cost(self, load: Load) -> Cost:
        """The measured cost of a run, kept in the home for this machine and this shape."""
        from loomwork.learn.cost import Cost, measure

        config = {k: v for k, v in load.config.to_dict().items() if k not in ("_name_or_path", "transformers_version")}
        lengths = sorted(load.lengths)
        shape = [load.kind, config, lengths, load.rows, asdict(load.training), asdict(load.adapter), load.dropout]
        running = context()
        versions = [installed_version(name, "loom estimate") for name in ("torch", "transformers")]
        machine = [platform.node(), platform.processor(), running.device, running.precision, running.threads, *versions]
        file = self.home.folder("measured") / f"{digest([shape, machine, FORMAT])[:24]}.json"
        if file.is_file():
            return Cost(**json.loads(file.read_bytes()))
        found = measure(load)
        file.write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")
        return found


FORMAT = 2  # of a kept measurement, and of how it is made


@dataclass(frozen=True)
class _Size:
    """A tokenizer of which only the size is known."""

    size: int
    bos_token_id: int = 0
    eos_token_id: int = 1
    pad_token_id: int | None = None

    def __len__(self) -> int:
        return self.size


def _config(folder: Path) -> Any:
    import transformers

    if not (folder / "config.json").is_file():
        raise Unknown(f"{folder} has no config.json")
    return transformers.AutoConfig.from_pretrained(folder, local_files_only=True)


def _folder_of(settings: dict[str, Any]) -> Path:
    """The folder that train.base will take a model from."""
    from loomwork.train.base import package_folder

    if settings["path"] is not None:
        return Path(settings["path"]).expanduser()
    if settings["hub"]:
        raise Unknown(f"its base {settings['hub']} is still at the hub: run that step first")
    try:
        return package_folder(settings["package"], settings["folder"])
    except (InputError, MissingDependency) as error:
        raise Unknown(error.what) from error
