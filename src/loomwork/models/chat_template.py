"""Conversations as a model's text: its own chat template, or one of the common ones."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from loomwork.core.artifact import Artifact
from loomwork.core.errors import InputError, MissingDependency, did_you_mean

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Message = dict[str, str]
Span = tuple[int, int]

MARK = re.compile(r"<\|\w+\|>|\[/?INST\]")
TEMPLATE_FILE = "chat_template.jinja"  # in a model folder, as transformers writes it
GENERATION_FILE = "generation_config.json"
TEMPLATES = {
    # Each begins with the tokenizer's beginning-of-text token where it has one, and marks every turn's end.
    "chatml": (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
    "llama-3": (
        "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
        "{{ m.content }}<|eot_id|>{% endfor %}"
        "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
    ),
    "zephyr": (
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{{ eos_token }}\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    ),
    # No space after "Assistant:" where it is to speak: a tokenizer joins it with the word that follows.
    "plain": (
        "{{ bos_token }}{% for m in messages %}{{ m.role.capitalize() }}: {{ m.content }}"
        "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}Assistant:{% endif %}"
    ),
}


@dataclass(frozen=True)
class Rendered:
    """A conversation as text.

    Args:
        text: all of it, with control tokens.
        answers: (start, end) of what the assistant says, its end mark with it, in characters of the text.
    """

    text: str
    answers: tuple[tuple[int, int], ...]


def load_tokenizer(artifact: Artifact) -> PreTrainedTokenizerBase:
    """The transformers tokenizer of a tokenizer or model folder.

    Raises:
        MissingDependency: transformers is not installed.
        InputError: the folder holds no tokenizer.
    """
    try:
        from transformers import AutoTokenizer
    except ModuleNotFoundError as error:
        raise MissingDependency("a tokenizer", error.name or "transformers", "models") from None
    if not (artifact.path / "tokenizer.json").is_file():
        raise InputError(f"{artifact.path} has no tokenizer.json", "give a tokenizer, or a model that has one")
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(artifact.path, local_files_only=True)
    return tokenizer


class ChatTemplate:
    """A chat template with a tokenizer's control tokens; transformers runs it in its sandbox.

    Args:
        tokenizer: of the model that is to read the text.
        name: one of TEMPLATES; "" for the tokenizer's own.

    Raises:
        InputError: the tokenizer has no template and none is named, or there is none of that name.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, name: str = "") -> None:
        if name and name not in TEMPLATES:
            raise InputError(
                f"there is no chat template {name!r}",
                did_you_mean(name, TEMPLATES) or f"there are {', '.join(TEMPLATES)}, and the tokenizer's own",
            )
        if not name and not tokenizer.chat_template:
            raise InputError(
                "the tokenizer has no chat template of its own", f"choose one: template: {' | '.join(TEMPLATES)}"
            )
        self.tokenizer, self.template = tokenizer, TEMPLATES.get(name)
        # The template's own marks too: a tokenizer need not know them as tokens, and a model learns them all the same.
        marks = MARK.findall(self.template or str(tokenizer.chat_template))
        roles = [f"<|{role}|>" for role in ("system", "user", "assistant", "tool")] if name == "zephyr" else []
        self.control_tokens = sorted({*tokenizer.all_special_tokens, *marks, *roles}, key=len, reverse=True)

    def text(self, messages: Sequence[Message], *, ask: bool = False) -> str:
        """The conversation as text; with `ask`, up to where the assistant begins to speak."""
        made = self.tokenizer.apply_chat_template(
            [list(messages)],  # a batch of one: outside of a batch transformers looks at the first message
            chat_template=self.template,
            tokenize=False,
            add_generation_prompt=ask,
        )
        return str(made[0])

    def render(self, messages: Sequence[Message]) -> Rendered:
        """The conversation, and where in it the assistant speaks.

        Raises:
            InputError: there are no messages, or one has no role or no text; an answer is empty; the template
                refuses the conversation, a message holds a control token (it would speak for the other side), or the
                template changes earlier turns when a later one is added.
        """
        if not messages:
            raise InputError("no messages")
        if not isinstance(messages, list | tuple):
            raise InputError(f"messages that are no list: {type(messages).__name__}")
        for number, message in enumerate(messages, 1):
            if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
                raise InputError(f"a message without a role: number {number}")
            if not isinstance(message.get("content"), str):
                raise InputError(f"a message without content: number {number}")
            if message["role"] == "assistant" and not message["content"].strip():
                raise InputError(f"an empty answer: number {number}")
            for token in self.control_tokens:
                if token in message["content"]:
                    raise InputError(f"control token in a message: {token} in number {number}")
        text = self._rendered(messages)
        answers = []
        for i, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before = self._rendered(messages[:i], ask=True)
            start, end = len(before), len(self._rendered(messages[: i + 1]))
            if not text.startswith(before) or message["content"].strip() not in text[start:end]:
                raise InputError("the template changes earlier turns: where the answers are cannot be told")
            answers.append((start, end))
        return Rendered(text, tuple(answers))

    def turn_end(self) -> tuple[int | None, str]:
        """What the template writes after an answer: a control token, else a text, else neither (None, "")."""
        from jinja2 import TemplateError

        said = "Hm!"
        try:
            whole = self.text([{"role": "user", "content": "Hm?"}, {"role": "assistant", "content": said}])
        except TemplateError:  # it wants another conversation than this
            return None, ""
        end = whole.rpartition(said)[2].strip()
        first = next(iter(self.tokenizer.encode(end, add_special_tokens=False)), None) if end else None
        return (first, "") if first in self.tokenizer.added_tokens_decoder else (None, end)

    def _rendered(self, messages: Sequence[Message], *, ask: bool = False) -> str:
        from jinja2 import TemplateError

        try:
            return self.text(messages, ask=ask)
        except (
            TemplateError,
            TypeError,
            ValueError,
            LookupError,
            AttributeError,
        ) as error:  # its expressions are Python's
            raise InputError(f"the template refuses it: {error}") from None


def save_chat(chats: ChatTemplate, out: Path) -> None:
    """Make a model folder say how one talks with it: its template, and the token that ends an answer.

    Args:
        chats: what it was taught with.
        out: the folder; the template goes into its folder `adapter` too, for whoever puts that on another copy.
    """
    if chats.template:
        chats.tokenizer.chat_template = chats.template
        chats.tokenizer.save_pretrained(out)
        if (out / "adapter").is_dir():
            shutil.copyfile(out / TEMPLATE_FILE, out / "adapter" / TEMPLATE_FILE)
    end, _ = chats.turn_end()
    file = out / GENERATION_FILE
    config = json.loads(file.read_bytes()) if file.is_file() else {}
    ends = config.get("eos_token_id", chats.tokenizer.eos_token_id)
    ends = [] if ends is None else ends if isinstance(ends, list) else [ends]
    if end is not None and end not in ends:
        file.write_text(json.dumps(config | {"eos_token_id": [*ends, end]}, indent=2) + "\n", encoding="utf-8")


def encode_rendered(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[tuple[list[int], list[Span]]]:
    """The tokens of rendered conversations, control tokens read as such, and where each stands in its text."""
    found = tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return list(zip(found["input_ids"], found["offset_mapping"], strict=True))


def answer_mask(offsets: Sequence[Span], answers: Iterable[Sequence[int]]) -> list[bool]:
    """Which tokens lie in an answer: those that end in it, so that one that straddles its beginning counts.

    Args:
        offsets: (start, end) of each token, in characters.
        answers: (start, end) of each answer.
    """
    spans = iter(sorted(tuple(answer) for answer in answers))
    start, end = next(spans, (0, 0))
    mask = []
    for token_start, token_end in offsets:
        while token_start >= end > 0:
            start, end = next(spans, (0, 0))
        mask.append(start < token_end <= end and token_end > token_start)
    return mask
