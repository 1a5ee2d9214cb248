"""Causal language models: log-probabilities of texts, and text streamed as it is generated.

Any Hugging Face folder that `AutoModelForCausalLM` opens will do. All computing is in float32.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.errors import InputError
from loomwork.models.complete import open_complete
from loomwork.models.heap import keep_freed_memory
from loomwork.models.opened import with_adapter

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from loomwork.models.scoring.requests import Request, Scoring
    from loomwork.models.scoring.run import Forward, Settings

WINDOW_TOKENS = 2048  # the most that one forward pass reads, whatever the model allows: attention is quadratic
UNFINISHED = "\ufffd"  # what decoding gives for bytes that do not yet make a character
PLAIN = ("\ufdd0", "\ufdd1")  # around what is no control token in a prompt; Unicode gives these no meaning


class Generation(Iterator[str]):
    """Text piece by piece, with the counts of its tokens and, once it has ended, why.

    Attributes:
        prompt_tokens: how many tokens were read.
        new_tokens: how many were generated so far; an end-of-text token is not counted.
        finish: "length" once the limit has ended it, "stop" until then: an end-of-text token or a stop string.
    """

    def __init__(self, prompt_tokens: int, limit: int) -> None:
        self.prompt_tokens, self.limit = prompt_tokens, limit
        self.new_tokens, self.finish = 0, "stop"
        self.pieces: Iterator[str] = iter(())

    def __next__(self) -> str:
        return next(self.pieces)

    def counted(self, tokens: Iterator[int]) -> Iterator[int]:
        for token in tokens:
            self.new_tokens += 1
            yield token
        if self.new_tokens == self.limit:  # not reached when a stop string ends the text earlier
            self.finish = "length"


class Decoder:
    """A causal language model and its tokenizer, ready to score and to generate. Made by `load_decoder`.

    Args:
        model: a PreTrainedModel.
        tokenizer: its own.
        source: the folder it was read from, by which kept answers know the model.
    """

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase, source: Model | None = None) -> None:
        self.source = source
        self.model, self.tokenizer = model.eval(), tokenizer  # a PreTrainedModel
        # A prompt adapter's states are in the cache once a text has begun: what follows is the model's own to compute.
        self.inside = model.get_base_model() if hasattr(model, "peft_config") else model
        config = self.inside.config.get_text_config()
        self.vocabulary = int(config.vocab_size)
        prompts = [c.num_virtual_tokens for c in getattr(model, "peft_config", {}).values()]  # they take places too
        self.context_tokens = int(getattr(config, "max_position_embeddings", None) or WINDOW_TOKENS) - sum(prompts)
        ends = getattr(self.inside.generation_config, "eos_token_id", None)
        self.end_ids = {
            i for i in [*(ends if isinstance(ends, list) else [ends]), tokenizer.eos_token_id] if i is not None
        }
        self.first_id = next((i for i in (tokenizer.bos_token_id, tokenizer.eos_token_id) if i is not None), None)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text that is data: names of control tokens in it are plain characters."""
        return list(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True, verbose=False))

    def count_tokens(self, text: str) -> int:
        """How many tokens a text has, control tokens not added."""
        return len(self.encode(text))

    def log_probabilities(self, texts: Sequence[str]) -> list[float]:
        """The natural-log probability of each text: the sum over all of its tokens.

        The first token is conditioned on the beginning-of-text token (the end-of-text token where the model has
        no other). The end of the text is not scored. A text longer than the window (the model's context, at most
        `WINDOW_TOKENS`) is read in overlapping windows: the first holds the beginning-of-text token and scores
        as much as fits; each further one scores half a window, conditioned on the half of the text before it and
        not on the beginning-of-text token.

        Args:
            texts: any strings; an empty one has probability 1.

        Returns: one number a text, 0 or less.
        """
        from loomwork.models.scoring.requests import Rolling

        return [answer.log_probability for answer in self.score([Rolling(t, "overlapping") for t in texts])]

    def score(
        self, requests: Sequence[Request], *, keep: Path | None = None, settings: Settings | None = None
    ) -> Scoring:
        """Answer requests: log-probabilities and generated texts. See `loomwork.models.scoring.run.score`."""
        from loomwork.models.scoring.run import score

        return score(self, requests, keep=keep, settings=settings)

    def forward(self, packed: bool = True) -> tuple[Forward, str]:
        """The forward pass that scores, and why that one."""
        from loomwork.models.scoring.run import choose_forward

        return self._forward if packed else choose_forward(self, False)

    @cached_property
    def _forward(self) -> tuple[Forward, str]:
        from loomwork.models.scoring.run import choose_forward

        return choose_forward(self)

    @cached_property
    def digest(self) -> str:
        """Of the files it was read from.

        Raises:
            InputError: it was not read from a folder.
        """
        if self.source is None:
            raise InputError(
                "answers of a model that was not read from a folder cannot be kept", "save it, then load_decoder"
            )
        return self.source.digest

    def generate(
        self,
        prompt: str,
        *,
        max_tokens: int = 128,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
        begin: bool = True,
    ) -> Generation:
        """Continue a prompt, piece by piece.

        Args:
            prompt: what is continued; names of control tokens in it count as such. Empty: from the beginning of text.
            max_tokens: the most tokens to add; the model's context may end it sooner.
            temperature: 0 takes the likeliest token each time.
            top_p: sample from the smallest set of tokens with at least this probability.
            seed: of the sampling; None draws another each time.
            stop: strings that end the text; they are not part of it.
            begin: whether the tokenizer begins the prompt, as it begins texts.

        Returns: pieces of text that together are the continuation; no piece ends within a character. Iterating
            computes; what is not asked for is not computed.

        Raises:
            InputError: a setting is out of range, or the prompt fills the model's context.
        """
        if max_tokens < 0 or temperature < 0 or not 0 < top_p <= 1:
            raise InputError(f"cannot generate with {max_tokens=}, {temperature=}, {top_p=}",
                             "max_tokens and temperature are 0 or more, top_p is above 0 and at most 1")  # fmt: skip
        ids = self._prompt_ids(prompt, begin)
        room = self.context_tokens - len(ids)
        if room < 1:
            raise InputError(
                f"the prompt has {len(ids)} tokens and the model's context is {self.context_tokens}", "shorten it"
            )
        made = Generation(len(ids), min(max_tokens, room))
        tokens = made.counted(self.tokens(ids, made.limit, temperature, top_p, seed))
        made.pieces = until(stop, self._characters(ids, tokens))
        return made

    def chat(self, messages: Sequence[dict[str, str]], *, stop: Sequence[str] = (), **sampling: Any) -> Generation:
        """Answer a conversation.

        Args:
            messages: see `chat_prompt`.
            stop: strings that end the answer, beside what the chat template writes after one.
            sampling: as `generate` takes it.

        Raises:
            InputError: see `chat_prompt` and `generate`.
        """
        return self.generate(
            self.chat_prompt(messages),
            stop=[*stop, *self._turn_ends],
            begin=not self.tokenizer.chat_template,  # a template writes all that was there in training
            **sampling,
        )

    @cached_property
    def _turn_ends(self) -> list[str]:
        """What ends an answer as text; a control token joins `end_ids`."""
        from loomwork.models.chat_template import ChatTemplate

        if not self.tokenizer.chat_template:
            return ["\nuser:"]
        token, end = ChatTemplate(self.tokenizer).turn_end()
        if token is not None:
            self.end_ids.add(token)
        return [end] if end else []

    def _prompt_ids(self, prompt: str, add: bool = True) -> list[int]:
        """As the tokenizer begins texts; a template that wrote the beginning-of-text token does not get a second."""
        bos = self.tokenizer.bos_token_id
        begin, *rest = re.split("{}([^{}]*){}".format(PLAIN[0], "".join(PLAIN), PLAIN[1]), prompt)
        ids = list(self.tokenizer.encode(begin, add_special_tokens=add, verbose=False)) if prompt else []
        for number, piece in enumerate(rest):  # plain text and the template's own by turns
            if number % 2:
                ids += self.tokenizer.encode(piece, add_special_tokens=False, verbose=False)
            else:
                ids += self.encode(piece)
        if len(ids) > 1 and ids[0] == ids[1] == bos:
            ids = ids[1:]
        if not ids and self.first_id is not None:
            ids = [self.first_id]
        if not ids:
            raise InputError("an empty prompt, and the tokenizer has no beginning-of-text token", "give a prompt")
        return ids

    def tokens(self, ids: list[int], count: int, temperature: float, top_p: float, seed: int | None) -> Iterator[int]:
        """New tokens, one forward pass each, until an end token or `count`."""
        generator = torch.Generator()
        if seed is None:
            generator.seed()
        else:
            generator.manual_seed(seed)
        cache, unread = None, ids
        for _ in range(count):
            logits, cache = self._next(unread, cache)
            token = draw(logits, temperature, top_p, generator)
            if token in self.end_ids:
                return
            yield token
            unread = [token]

    @torch.inference_mode()
    def _next(self, ids: list[int], cache: Any) -> tuple[torch.Tensor, Any]:
        """The logits (vocab) after `ids`, and the keys and values of all that was read."""
        given = torch.tensor([ids], device=self.model.device)  # (1, time)
        if cache is None:
            seen = self.model(input_ids=given, use_cache=True, logits_to_keep=1)
        else:
            seen = self.inside(input_ids=given, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return seen.logits[0, -1].float().cpu(), seen.past_key_values

    def _characters(self, prompt: list[int], tokens: Iterator[int]) -> Iterator[str]:
        """Text as soon as it is whole: a character may take several tokens, and a space hang on what is before it."""
        ids, start, shown = list(prompt), max(0, len(prompt) - 4), len(prompt)
        for token in tokens:
            ids.append(token)
            before, now = self._decode(ids[start:shown]), self._decode(ids[start:])
            if len(now) > len(before) and not now.endswith(UNFINISHED):
                yield now[len(before) :]
                start, shown = shown, len(ids)
        rest = self._decode(ids[start:])[len(self._decode(ids[start:shown])) :]
        if rest:
            yield rest

    def _decode(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def chat_prompt(self, messages: Sequence[dict[str, str]]) -> str:
        """The prompt of a conversation, ending where the assistant's answer begins.

        Names of control tokens in a message are plain characters to `generate`, which finds them marked.
        With a chat template in the tokenizer folder, that template decides (transformers runs it in jinja2's
        ImmutableSandboxedEnvironment). Without one, a message is a line `role: content`, and the last line is
        `assistant:`.

        Args:
            messages: {"role": "system" | "user" | "assistant", "content": text}, in order.

        Raises:
            InputError: a message has no role or content, or the template refuses the conversation.
        """
        from jinja2 import TemplateError

        for number, message in enumerate(messages):
            if not isinstance(message.get("role"), str) or not isinstance(message.get("content"), str):
                raise InputError(f"message {number} needs a role and a content, both text; it is {message!r}")
        messages = [{**m, "content": self._without_control(m["content"])} for m in messages]
        if not self.tokenizer.chat_template:
            return "".join(f"{m['role']}: {m['content']}\n" for m in messages) + "assistant:"
        try:
            made = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except TemplateError as error:
            raise InputError(f"the model's chat template refuses these messages: {error}") from error
        return str(made)

    def _without_control(self, text: str) -> str:
        """A text in which the names of control tokens are marked as plain: what people write cannot end their turn."""
        text = re.sub("[{}]".format("".join(PLAIN)), "", text)
        tokens = self.tokenizer.added_tokens_decoder.values()
        names = {*self.tokenizer.all_special_tokens, *(t.content for t in tokens if t.special)} - {""}
        if not names:
            return text
        pattern = "|".join(re.escape(name) for name in sorted(names, key=lambda n: (-len(n), n)))
        return re.sub(pattern, lambda found: PLAIN[0] + found[0] + PLAIN[1], text)


def draw(logits: torch.Tensor, temperature: float, top_p: float, generator: torch.Generator) -> int:
    """A token from its logits (vocab): the likeliest at temperature 0, else by nucleus sampling.

    Source: Holtzman et al., The Curious Case of Neural Text Degeneration, 2020 (nucleus sampling).
    """
    if temperature == 0:
        return int(logits.argmax())
    chances, order = torch.softmax(logits / temperature, -1).sort(descending=True, stable=True)
    before = chances.cumsum(-1) - chances  # a token stays while the ones ahead of it do not yet make top_p
    chances = chances.masked_fill(before >= top_p, 0.0)
    return int(order[torch.multinomial(chances, 1, generator=generator)])


def until(stop: Sequence[str], pieces: Iterator[str]) -> Iterator[str]:
    """The pieces up to the first stop string; what may be the beginning of one is held back until it is known."""
    stop = [s for s in stop if s]
    held = ""
    for piece in pieces:
        held += piece
        ends = [at for s in stop if (at := held.find(s)) >= 0]
        if ends:
            if held[: min(ends)]:
                yield held[: min(ends)]
            return
        keep = max((n for s in stop for n in range(1, len(s)) if held.endswith(s[:n])), default=0)
        if len(held) > keep:
            yield held[: len(held) - keep]
            held = held[len(held) - keep :]
    if held:
        yield held


def load_decoder(model: Model, *, threads: int | None = None) -> Decoder:
    """Open a model folder as a Decoder, on the running step's device.

    Args:
        model: a Hugging Face folder of a causal language model, safetensors and tokenizer in it. An adapter that
            could not be merged, in its folder `adapter`, is put on.
        threads: of torch, for the whole process; None takes the running step's.

    Raises:
        InputError: the folder does not hold a causal language model that transformers can open.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    keep_freed_memory()
    torch.set_num_threads(threads or context().threads)
    try:
        tokenizer = AutoTokenizer.from_pretrained(model.path, local_files_only=True)
        network, _, _ = open_complete(AutoModelForCausalLM, model.path)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{model.path} does not open as a causal language model: {error}",
            "it needs config.json, model.safetensors and the tokenizer files",
        ) from error
    return Decoder(with_adapter(network, model).to(context().device), tokenizer, model)
