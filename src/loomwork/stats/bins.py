"""Items into bins of a fixed size."""

from __future__ import annotations

from bisect import bisect_left, insort

import numpy as np


def best_fit(lengths: np.ndarray, size: int) -> list[list[int]]:
    """Put items into as few rows as best-fit decreasing finds.

    Args:
        lengths: of the items, each at most `size`; among equal ones the first goes first.
        size: of a row.

    Returns: for each row the numbers of its items. How many rows depends on the lengths only, not on their order.

    Source: Krell et al. 2021, arXiv:2107.02027 (packing of training sequences).
    """
    rows: list[list[int]] = []
    open_rows: dict[int, list[int]] = {}  # rows by the room they have left
    rooms: list[int] = []  # the keys of open_rows, sorted
    for item in np.argsort(-lengths, kind="stable"):
        length = int(lengths[item])
        at = bisect_left(rooms, length)
        if at == len(rooms):
            row, room = len(rows), size
            rows.append([])
        else:
            room = rooms[at]
            row = open_rows[room].pop()
            if not open_rows[room]:
                del open_rows[room]
                rooms.pop(at)
        rows[row].append(int(item))
        left = room - length
        if left:
            if left not in open_rows:
                open_rows[left] = []
                insort(rooms, left)
            open_rows[left].append(row)
    return rows
