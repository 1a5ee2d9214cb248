"""A batch in parts that are computed one after the other: what memory allows, and hardly any padding in each."""

from __future__ import annotations

from collections.abc import Sequence

PART_TOKENS = {"cpu": 2048}
PART_TOKENS_ELSEWHERE = 16_384
HELD_LOGITS = 32 << 20  # that a part may have, in float32; their gradient is as large


def part_tokens(chosen: int, device: str) -> int:
    """How many tokens are computed at once, where nothing is chosen by the device."""
    return chosen or PART_TOKENS.get(device.partition(":")[0], PART_TOKENS_ELSEWHERE)


def fewer_for_logits(tokens: int, share: float, vocabulary: int) -> int:
    """How many of so many tokens are computed at once, so that a large vocabulary does not fill the memory.

    Args:
        tokens: what there would be.
        share: of them that have logits.
        vocabulary: logits of each.
    """
    return max(1, min(tokens, int(HELD_LOGITS / (share * vocabulary))))


def split_rows(
    rows: Sequence[int], lengths: Sequence[int], limit: int, *, padded: bool, least: float = 0.5
) -> list[list[int]]:
    """Rows in parts, the longest first.

    Args:
        rows: numbers of rows.
        lengths: tokens of each of these rows.
        limit: tokens of a part, at most; a longer row is a part of its own.
        padded: the rows of a part are padded to the longest of it, so a part takes rows of about one length: one
            that is shorter than `least` of the longest begins a new part.
    """
    order = sorted(range(len(rows)), key=lambda i: (-lengths[i], i))
    parts: list[list[int]] = []
    size = longest = 0
    for i in order:
        taken = max(1, lengths[i])
        full = (
            (len(parts[-1]) + 1) * longest > limit or taken < least * longest
            if padded and parts
            else size + taken > limit
        )
        if not parts or full:
            parts.append([])
            size, longest = 0, taken
        parts[-1].append(rows[i])
        size += taken
    return parts
