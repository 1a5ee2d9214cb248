"""From a task and its documents to requests: what a model is asked, with nothing computed.

The texts are those of lm-evaluation-harness 0.4.13, byte for byte (ConfigurableTask.fewshot_context, build_qa_turn and
construct_requests in lm_eval/api/task.py). A name that is no column is refused, where that library takes it as text.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from loomwork.core.errors import InputError, did_you_mean
from loomwork.evals.tasks.shots import SEED, Sampler
from loomwork.evals.tasks.task import Field, Row, Task
from loomwork.evals.tasks.template import fills_in_null, is_template, render
from loomwork.models.scoring.requests import Generate, LogLikelihood, Request, Rolling

NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class Item:
    """One document of a task, as it is asked.

    Args:
        index: its place in the evaluated split.
        document: its columns.
        requests: what the model is asked (models/scoring), in order: of a multiple choice one for each choice, and with
            the metric acc_mutual_info as many again, without the context.
        choices: of a multiple choice, as they are scored.
        gold: the right answer: a text, the number of a choice, or a list of either.
        query: the text by which contamination is looked for; "" where the task does not say.
        question: the document as it stands in the prompt, without description and examples. Of a rolling likelihood the
            text itself; where the choices are contexts, with the first of them.
        nulls: fields of the task that take a null of the document for the text "None".
    """

    index: int
    document: Row
    requests: tuple[Request, ...]
    choices: tuple[str, ...]
    gold: Any
    query: str
    question: str
    nulls: tuple[str, ...] = ()


class Prompts:
    """The prompts of one task over its documents.

    Args:
        task: the task.
        documents: of the evaluated split.
        pool: the documents that examples are drawn from; none are needed for zero shots.
        num_fewshot: examples before each question; by default as the task says.
        seed: of the examples.

    Raises:
        InputError: there are no documents, a column is missing, or a template fails.
    """

    def __init__(
        self,
        task: Task,
        documents: Sequence[Row],
        pool: Sequence[Row] = (),
        *,
        num_fewshot: int | None = None,
        seed: int = SEED,
    ) -> None:
        if not documents:
            raise InputError(f"task {task.name} has no documents", "look at its split")
        self.task, self.documents = task, documents
        self.num_fewshot = task.num_fewshot if num_fewshot is None else num_fewshot
        if self.num_fewshot < 0:
            raise InputError(f"num_fewshot is {self.num_fewshot}", "it is at least 0")
        self.shots = _filled(task)
        self.pool, self.seed = pool, seed
        self.sampler = self._sampler()
        self.columns = frozenset(documents[0])
        # Of the first document, as that library has it: whether the choices are contexts, as in Winogrande.
        try:
            by_context = task.doc_to_choice is not None and isinstance(self._text(documents[0]), int)
            self.many_targets = isinstance(self._target(documents[0]), list)
        except InputError as error:
            raise InputError(f"task {task.name}, document 0: {error.what}", error.hint) from None
        self.choices_are_contexts = by_context

    def _sampler(self) -> Sampler:
        # Both None also means "the same split" there, which draws one example more than it needs.
        shots = self.task.shots
        return Sampler(self.pool, shots.sampler, self.seed, leave_out=shots.split == self.task.test_split)

    def __iter__(self) -> Iterator[Item]:
        self.sampler = self._sampler()  # each pass makes the same prompts
        for index, document in enumerate(self.documents):
            try:
                yield self._item(index, document)
            except InputError as error:
                raise InputError(f"task {self.task.name}, document {index}: {error.what}", error.hint) from None

    def _item(self, index: int, document: Row) -> Item:
        before, turns = self._examples(document), self._turns(document)
        target = self._target(document)
        choices: list[Any] = []
        if self.task.doc_to_choice is not None:
            choices = self._choices(document)
        requests = self._requests([before + turn for turn in turns], target, choices)
        gold = self._text(document) if self.choices_are_contexts else target
        query = ""
        if self.task.should_decontaminate:
            by = self.task.doc_to_decontamination_query
            query = str(
                self._text(document) if by is None else self._value(by, document, "doc_to_decontamination_query")
            )
        question = requests[0].text if isinstance(requests[0], Rolling) else turns[0]
        return Item(index, document, tuple(requests), tuple(choices), gold, query, question, self._nulls(document))

    def _nulls(self, document: Row) -> tuple[str, ...]:
        if not _has_null(document):
            return ()
        return tuple(name for name in ("doc_to_text", "doc_to_target", "doc_to_choice") if self._null(name, document))

    def _null(self, name: str, document: Row) -> bool:
        by = getattr(self.task, name)
        if not isinstance(by, str):
            return False
        if by in self.columns:  # a label of none is counted as such; a question of none is refused
            return name == "doc_to_target" and self.task.doc_to_choice is None and document[by] is None
        return fills_in_null(by, document)

    def _examples(self, document: Row) -> str:
        """What stands before a document: the description, and the examples."""
        shots = self.shots
        made = _resolved(self.task.description, document, "description") or ""
        for row in self.sampler.draw(self.num_fewshot, document):
            question: Any = self._text(row, shots.doc_to_text)
            choices = self._choices(row, shots.doc_to_choice) if shots.doc_to_choice else None
            answer = self._target(row, shots.doc_to_target)
            if self.choices_are_contexts:
                question, choices = _choice(choices, question), None
            prefix = _resolved(shots.gen_prefix, row, "gen_prefix")
            delimiters = str(shots.target_delimiter), str(shots.fewshot_delimiter)
            made += _turn(question, choices, answer, prefix, *delimiters)
        return made

    def _turns(self, document: Row) -> list[str]:
        """The document without its answer: one text, or one for each choice where the choices are contexts."""
        prefix = self._prefix(document)
        if self.choices_are_contexts:
            return [_turn(c, None, None, prefix, "", "") for c in self._choices(document)]
        choices = self._choices(document) if self.task.doc_to_choice else None
        return [_turn(self._text(document), choices, None, prefix, self.task.target_delimiter, "")]

    def _requests(self, contexts: list[str], target: Any, choices: list[str]) -> list[Request]:
        task = self.task
        if task.output_type == "generate_until":
            how = task.generation
            return [Generate(contexts[0], how.until, how.max_tokens, how.temperature, how.top_p)]
        if task.output_type == "loglikelihood_rolling":
            return [Rolling(_text_target(target))]
        if task.output_type == "loglikelihood":
            return [LogLikelihood(contexts[0], _text_target(target))]
        between = task.target_delimiter
        made: list[Request]
        if self.choices_are_contexts:
            made = [LogLikelihood(c, f"{between}{target}") for c in contexts]
        else:
            made = [LogLikelihood(contexts[0], f"{between}{c}") for c in choices]
        if any(m.name == "acc_mutual_info" for m in task.metrics):
            made += [LogLikelihood("", f"{between}{c}") for c in choices]
        return made

    def _text(self, document: Row, given: Field = None) -> Any:
        found = self._value(self.task.doc_to_text if given is None else given, document, "doc_to_text")
        if isinstance(found, str) and self._rendered(given, self.task.doc_to_text) and found.isdigit():
            return int(found) if self.task.doc_to_choice is not None else found
        return found

    def _target(self, document: Row, given: Field = None) -> Any:
        by = self.task.doc_to_target if given is None else given
        if isinstance(by, list):
            return by
        found = self._value(by, document, "doc_to_target")
        if not isinstance(found, str) or not self._rendered(given, self.task.doc_to_target):
            return found
        if found.isdigit() and self.task.doc_to_choice is not None:
            return int(found)
        if len(found) >= 2 and found[0] == "[" and found[-1] == "]":
            try:
                return ast.literal_eval(found)
            except (SyntaxError, ValueError, MemoryError, RecursionError):
                return found
        return found

    def _choices(self, document: Row, given: Field = None) -> list[str]:
        by = self.task.doc_to_choice if given is None else given
        if isinstance(by, list):
            return by
        if isinstance(by, Mapping):
            return [str(v) for v in by.values()]
        found = self._value(by, document, "doc_to_choice")
        if isinstance(found, str) and isinstance(by, str) and by not in self.columns:
            try:
                found = ast.literal_eval(found)
            except (SyntaxError, ValueError, MemoryError, RecursionError):
                raise InputError(f"doc_to_choice makes no list: {found[:80]!r}", "as in {{[a, b]}}") from None
        if not isinstance(found, list | tuple) or not found or not all(isinstance(c, str) for c in found):
            raise InputError(f"doc_to_choice takes a list of texts, not {found!r:.80}", "one for each choice")
        return list(found)

    def _value(self, by: Field, document: Row, what: str) -> Any:
        """A field of a document: a constant, a column, a template filled in, or what a function makes."""
        if callable(by):
            try:
                return by(document)
            except KeyError as error:
                raise InputError(
                    f"{what} reads {error.args[0]!r}, which the document has not",
                    did_you_mean(str(error.args[0]), map(str, document)),
                ) from error
            except (AttributeError, IndexError, TypeError, ValueError) as error:
                hint = f"its columns: {', '.join(map(str, document))}"
                raise InputError(f"{what} fails: {type(error).__name__}: {error}", hint) from error
        if not isinstance(by, str):
            return by
        if by in self.columns:
            if by not in document:
                raise InputError(f"{what}: an example has no column {by!r}", did_you_mean(by, map(str, document)))
            return document[by]
        if NAME.fullmatch(by) and not is_template(by):
            raise InputError(f"{what}: there is no column {by!r}", did_you_mean(by, map(str, self.columns)))
        return render(by, document, what)

    def _rendered(self, given: Field, own: Field) -> bool:
        by = own if given is None else given
        return isinstance(by, str) and by not in self.columns

    def _prefix(self, document: Row) -> str | None:
        by = self.task.gen_prefix
        return None if by is None else document[by] if by in self.columns else render(by, document, "gen_prefix")


def _has_null(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_null, value.values()))
    return any(map(_has_null, value)) if isinstance(value, list | tuple) else value is None


def _filled(task: Task) -> Any:
    """The shots of a task, with the task's own fields where they say nothing."""
    names = ("doc_to_text", "doc_to_target", "doc_to_choice", "gen_prefix", "target_delimiter", "fewshot_delimiter")
    own = {n: getattr(task, n) for n in names if getattr(task.shots, n) is None}
    return replace(task.shots, **own)


def _turn(question: Any, choices: Any, answer: Any, prefix: str | None, between: str, end: str) -> str:
    """A question, its answer or the beginning of one.

    Args:
        answer: a text, the number of a choice, a list of which the first counts, or None to leave it out.
        between: what separates question and answer.
        end: what follows the answer.
    """
    if not isinstance(question, str):
        raise InputError(f"doc_to_text takes a text, not {question!r:.80}", "use a template, as in {{column}}")
    if prefix and (not question or _spaced(question, prefix)):
        between = ""
    if answer is None or answer == "":
        return question + between + prefix if prefix else question
    made = _choice(choices, answer) if choices and isinstance(answer, int) else answer
    made = made[0] if isinstance(made, list) and made else made
    if not isinstance(made, str):
        raise InputError(f"doc_to_target of an example takes a text, not {made!r:.80}", "as in {{column}}")
    if prefix:
        made = prefix + ("" if not made or _spaced(prefix, made) else " ") + made
    return question + between + made + end


def _spaced(left: str, right: str) -> bool:
    return left[-1].isspace() or right[0].isspace()


def _choice(choices: Any, number: Any) -> str:
    if not choices or not isinstance(number, int) or not -len(choices) <= number < len(choices):
        raise InputError(f"there is no choice {number!r} of {choices!r:.80}", "the first is 0")
    return str(choices[number])


def _resolved(by: str | None, document: Row, what: str) -> str | None:
    if not by:
        return None
    return document[by] if by in document else render(by, document, what)


def _text_target(target: Any) -> str:
    if not isinstance(target, str):
        raise InputError(f"doc_to_target takes a text here, not {target!r:.80}", "use a template, as in {{column}}")
    return target
