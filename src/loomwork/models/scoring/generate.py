"""Many texts generated side by side: each step reads the weights once for all of them.

A prefix that all contexts share is read once. A lane whose text has ended takes the next context. A text does not
depend on the lanes beside it, but for float noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from loomwork.core.artifact import canonical_json
from loomwork.core.context import context
from loomwork.core.errors import StepFailed, Stopped
from loomwork.models.scoring.keep import Keep
from loomwork.models.scoring.packed import PackedForward, Past, rotated
from loomwork.models.scoring.plain import PlainForward
from loomwork.models.scoring.plan import Row
from loomwork.models.scoring.requests import Answer, Generate, Request
from loomwork.models.scoring.spans import Cutter

if TYPE_CHECKING:
    from loomwork.models.decoder import Decoder

LANES = 32
CACHE_BYTES = 1 << 30  # of all lanes' keys and values
PREFIX_TOKENS = 16  # a shared prefix shorter than this is read with each context


@dataclass
class Text:
    """A text in the making.

    Args:
        request: what was asked.
        ids: the tokens of its context, cut to what the model can read.
        cut_tokens: how many were cut off.
        new: what was generated.
    """

    request: Generate
    ids: list[int]
    cut_tokens: int
    new: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = torch.Generator().manual_seed(self.request.seed)
        # A stop string of n bytes lies within the last n tokens, or a few more that are no text.
        self.tail = 4 + max((len(s.encode()) for s in self.request.stop), default=0)

    def ended(self, decoder: Decoder) -> bool:
        if len(self.new) >= self.request.max_tokens:
            return True
        last = text_of(decoder, self.new[-self.tail :]) if self.request.stop else ""
        return any(s in last for s in self.request.stop)

    def answer(self, decoder: Decoder) -> Answer:
        whole = text_of(decoder, self.new)
        ends = [at for s in self.request.stop if s and (at := whole.find(s)) >= 0]
        text = whole[: min(ends, default=len(whole))]
        return Answer(tokens=len(self.new), bytes=len(text.encode()), text=text, cut_tokens=self.cut_tokens)


def text_of(decoder: Decoder, ids: list[int]) -> str:
    """As lm-evaluation-harness has it: the new tokens by themselves."""
    return str(decoder.tokenizer.decode(ids, skip_special_tokens=True))


def generate(
    decoder: Decoder,
    requests: Sequence[Generate],
    forward: PackedForward | PlainForward | None,
    kept: Keep,
    most: int,
    counts: dict[str, int],
) -> dict[Request, Answer]:
    """Continue contexts.

    Args:
        decoder: the model.
        requests: none of them twice.
        forward: the packed forward pass runs them side by side; with any other they run one by one.
        kept: answers are looked up and kept there.
        most: the most tokens that the model reads.
        counts: what was done is added to it.
    """
    cutter = Cutter(decoder, most, most)
    begun = {begin: cutter.begun([r.context for r in requests if r.begin is begin], begin) for begin in (True, False)}
    answers: dict[Request, Answer] = {}
    texts: dict[bytes, Text] = {}
    for request in requests:
        ids = begun[request.begin][request.context] or cutter.first
        room = most - request.max_tokens
        if room < 1:
            why = f"{request.max_tokens} tokens were asked for, and the model's context has {most}"
            answers[request] = Answer(failed=why)
            continue
        cut = max(0, len(ids) - room)
        texts[kept.key(_key(request, ids[cut:]))] = Text(request, ids[cut:], cut)
    read = kept.read(texts)
    for key, (_, _, said) in read.items():
        text = texts.pop(key)
        answers[text.request] = Answer(
            tokens=int(read[key][0]), bytes=len(said.encode()), text=said, cut_tokens=text.cut_tokens
        )
    counts["kept"] = counts.get("kept", 0) + len(read)
    counts["tokens_generated"] = 0
    wanted = list(texts.values())
    if isinstance(forward, PackedForward):
        made = _side_by_side(decoder, wanted, forward)
    else:
        made = _one_by_one(decoder, wanted)
    of = {id(text): key for key, text in texts.items()}
    for done, text in enumerate(made, 1):
        answer = answers[text.request] = text.answer(decoder)
        counts["tokens_generated"] += answer.tokens
        kept.write({of[id(text)]: (float(answer.tokens), False, answer.text)})
        context().progress(done, len(texts), "generations")
        if context().stop_requested and done < len(texts):
            raise Stopped(f"stopped after {done} of {len(texts)} generations; they are kept")
    return answers


def _key(request: Generate, ids: list[int]) -> bytes:
    settings = {
        "stop": sorted(set(request.stop)), "max": request.max_tokens, "temperature": request.temperature,
        "top_p": request.top_p, "seed": request.seed if request.temperature else 0,
    }  # fmt: skip
    return b"generate" + canonical_json(settings) + np.array(ids, np.int32).tobytes()


def _one_by_one(decoder: Decoder, texts: list[Text]) -> Iterator[Text]:
    for text in texts:
        asked = text.request
        for token in decoder.tokens(text.ids, asked.max_tokens, asked.temperature, asked.top_p, asked.seed):
            text.new.append(token)
            if text.ended(decoder):
                break
        yield text


def _side_by_side(decoder: Decoder, texts: list[Text], forward: PackedForward) -> Iterator[Text]:
    if not texts:
        return
    left = sorted(texts, key=lambda t: len(t.ids) + t.request.max_tokens)  # the longest are taken first
    shared = _shared([t.ids for t in texts])
    past = None
    if shared >= PREFIX_TOKENS:
        _, past = forward.states([_row(texts[0].ids[:shared], 0, False)], None, np.zeros(0, np.int64), True)
    else:
        shared = 0
    lanes: Lanes | None = None
    while left or (lanes is not None and lanes.texts):
        if lanes is None or (not lanes.texts and left):
            lanes = Lanes(forward, len(left[-1].ids) + left[-1].request.max_tokens)
        free = lanes.count - len(lanes.texts)
        if left and (free >= lanes.count // 4 or free >= len(left)):
            coming = [left.pop() for _ in range(min(free, len(left)))]
            logits = lanes.take(coming, past, shared)
            yield from lanes.put(decoder, logits)
        if lanes.texts:
            yield from lanes.put(decoder, lanes.step())


def _shared(all_ids: list[list[int]]) -> int:
    """How many first tokens all share, leaving each at least one of its own."""
    low, high = min(all_ids), max(all_ids)
    most = min(len(ids) for ids in all_ids) - 1
    return next((i for i in range(most) if low[i] != high[i]), most)


def _row(ids: list[int], start: int, ask: bool) -> Row:
    count = len(ids)
    none = np.zeros(0, np.int64)
    needs = np.array([count - 1]) if ask else none
    whole = [(0, count, none)]
    return Row(np.array(ids, np.int64), np.arange(start, start + count), whole, needs, none, none, none)


class Lanes:
    """Texts that are generated at the same time, with their keys and values.

    Args:
        forward: the model.
        longest: the most tokens that a lane will hold.
    """

    def __init__(self, forward: PackedForward, longest: int) -> None:
        self.forward, self.longest = forward, longest
        self.texts: list[Text] = []
        self.fresh: list[Text] = []  # those that the last logits are of
        self.keys: list[Tensor] = []  # for each layer (texts, key heads, longest, head width)
        self.values: list[Tensor] = []
        self.lengths = torch.zeros(0, dtype=torch.long)
        blocks = forward.parts.blocks
        probe = blocks[0].qkv(blocks[0].attention_norm(forward.parts.head[:1]))[1]  # (1, key heads, head width)
        self.shape = (probe.shape[1], longest, probe.shape[2])
        bytes_ = 2 * len(blocks) * probe.numel() * longest * probe.element_size()
        self.count = max(1, min(LANES, CACHE_BYTES // bytes_))

    @torch.inference_mode()
    def take(self, texts: list[Text], past: Past | None, shared: int) -> Tensor:
        """Read new texts' contexts. Returns: the logits after each. (new texts, vocabulary)"""
        rows = [_row(t.ids[shared:], shared, True) for t in texts]
        ends = np.cumsum([len(row) for row in rows])
        states, made = self.forward.states(rows, past, ends - 1, True)
        assert made is not None
        old = len(self.texts)
        for layer, (keys, values) in enumerate(zip(*made, strict=True)):
            for held, flat in ((self.keys, keys), (self.values, values)):
                table = flat.new_zeros(old + len(texts), *self.shape)
                if old:
                    table[:old] = held[layer]
                for number, (row, end) in enumerate(zip(rows, ends.tolist(), strict=True)):
                    lane = table[old + number]
                    lane[:, :shared] = flat[:shared].transpose(0, 1)
                    lane[:, shared : shared + len(row)] = flat[shared + end - len(row) : shared + end].transpose(0, 1)
                if old or len(held) > layer:
                    held[layer] = table
                else:
                    held.append(table)
        self.lengths = torch.cat([self.lengths, torch.tensor([len(t.ids) for t in texts])])
        self.texts += texts
        self.fresh = texts
        return self._logits(states)

    @torch.inference_mode()
    def step(self) -> Tensor:
        """Read each text's newest token. Returns: the logits after it. (texts, vocabulary)"""
        parts, device = self.forward.parts, self.forward.device
        ids = torch.tensor([t.new[-1] for t in self.texts], device=device)
        positions = self.lengths.to(device)
        x = parts.embed(ids, positions)
        rotation = parts.rotary(x, positions[None]) if parts.rotary is not None else None
        lane = torch.arange(len(ids), device=device)
        time = int(self.lengths.max()) + 1
        away = positions[:, None] - torch.arange(time, device=device)  # (texts, time)
        biases = {
            w: x.new_zeros(away.shape).masked_fill_((away < 0) | ((away >= w) if w else False), float("-inf"))
            for w in self.forward.windows
        }
        for layer, block in enumerate(parts.blocks):
            q, k, v = block.qkv(block.attention_norm(x))
            if rotation is not None:
                q, k = rotated(q, rotation), rotated(k, rotation)
            keys, values = self.keys[layer], self.values[layer]
            keys[lane, :, positions], values[lane, :, positions] = k, v
            mixed = F.scaled_dot_product_attention(
                q[:, :, None], keys[:, :, :time], values[:, :, :time], biases[block.window][:, None, None],
                scale=block.scale, enable_gqa=q.shape[1] != k.shape[1],
            )  # fmt: skip
            x = block.joined(x, block.out(mixed.flatten(1)))
        self.lengths = self.lengths + 1
        self.fresh = self.texts
        return self._logits(parts.norm(x))

    def put(self, decoder: Decoder, logits: Tensor) -> list[Text]:
        """Give each text its next token. Returns: those that have ended; their lanes are free."""
        from loomwork.models.decoder import draw

        largest, likeliest = logits.max(-1)
        if bool(largest.isnan().any()):
            raise StepFailed("the model's logits are not numbers (NaN)", "its weights or its precision are broken")
        ended: list[Text] = []
        for number, (text, token) in enumerate(zip(self.fresh, likeliest.tolist(), strict=True)):
            asked = text.request
            if asked.temperature > 0:
                token = draw(logits[number].float().cpu(), asked.temperature, asked.top_p, text.random)
            if token in decoder.end_ids:
                ended.append(text)
                continue
            text.new.append(token)
            if text.ended(decoder):
                ended.append(text)
        if ended:
            gone = {id(text) for text in ended}
            stay = [i for i, text in enumerate(self.texts) if id(text) not in gone]
            self.texts = [self.texts[i] for i in stay]
            chosen = torch.tensor(stay, dtype=torch.long)
            self.lengths = self.lengths[chosen]
            chosen = chosen.to(self.forward.device)
            self.keys, self.values = [k[chosen] for k in self.keys], [v[chosen] for v in self.values]
        return ended

    def _logits(self, states: Tensor) -> Tensor:
        return F.linear(states, self.forward.parts.head)
