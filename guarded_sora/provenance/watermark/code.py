"""The code of the mark: a convolutional code that is ended by bits the reader knows.

A reader tries one key at a time, so it knows version and epoch before it decodes. These bits are
sent last, where they drive the encoder into a known state: no energy is spent on tail bits, and
the trellis is cut to the words this key can have written. The decoder is a Viterbi decoder over
soft values that can go on to the second best word, the third, and so on (the tree-trellis list
algorithm of Seshadri and Sundberg, 1994), because the MAC inside the word tells which is right.

Legend: S states, T steps (one per information bit), R coded bits per step, N = T * R.
"""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

CONSTRAINT = 9
"""Bits the encoder looks at: as many known bits end a word as there is memory, so none is wasted."""

GENERATORS = (0o455, 0o473, 0o533, 0o535, 0o763, 0o771)
"""Best of 30,000 random sets of six; free distance 37. More memory gained nothing with lists of 32."""


class ConvolutionalCode:
    """Rate 1/R feed-forward code that starts and ends in states the reader knows."""

    def __init__(self, generators: tuple[int, ...] = GENERATORS, constraint: int = CONSTRAINT) -> None:
        self.generators = generators
        self.constraint = constraint
        self.rate = len(generators)

    @property
    def memory(self) -> int:
        """Bits of state; a word must end in at least as many known bits."""
        return self.constraint - 1

    @cached_property
    def _outputs(self) -> NDArray[np.float32]:
        """float32 (2 * S, R): +1 or -1 for every register content (state, then the new bit)."""
        register = np.arange(1 << self.constraint, dtype=np.uint32)
        taps = np.array(self.generators, dtype=np.uint32)
        parity = np.bitwise_count(register[:, None] & taps[None, :]) & 1
        return np.asarray(1.0 - 2.0 * parity, dtype=np.float32)

    def encode(self, bits: NDArray[np.uint8]) -> NDArray[np.int8]:
        """int8 (T * R,) of +1 (for 0) and -1 (for 1) from ``bits`` uint8 (T,) of 0 and 1."""
        mask = (1 << self.constraint) - 1
        register, registers = 0, np.empty(len(bits), dtype=np.int64)
        for step, bit in enumerate(bits):
            register = ((register << 1) | int(bit)) & mask
            registers[step] = register
        return self._outputs[registers].astype(np.int8).ravel()

    def best(self, soft: NDArray[np.float32], tail: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B,): correlation of each row of ``soft`` (B, T * R) with its likeliest word ending in ``tail``.

        Many rows cost little more than one: whether a row is worth a list is known from this alone.
        """
        rows = len(soft)
        size = 1 << self.memory
        half = size // 2
        steps = soft.shape[1] // self.rate
        branch = soft.reshape(rows, steps, self.rate).astype(np.float32) @ self._outputs.T
        branch = branch.reshape(rows, steps, 2, half, 2)
        metric = np.full((rows, size), -np.inf, dtype=np.float32)
        metric[:, 0] = 0.0
        unknown = steps - len(tail)
        end = 0
        for step in range(steps):
            both = np.maximum(
                metric[:, :half, None] + branch[:, step, 0], metric[:, half:, None] + branch[:, step, 1]
            )
            if step >= unknown:
                both[..., 1 - int(tail[step - unknown])] = -np.inf
            metric = both.reshape(rows, size)
        for bit in tail[-self.memory :]:
            end = (end << 1) | int(bit)
        return np.asarray(metric[:, end], dtype=np.float32)

    def words(
        self, soft: NDArray[np.float32], tail: NDArray[np.uint8], limit: int | None = None
    ) -> Iterator[NDArray[np.uint8]]:
        """The likeliest words, best first: uint8 (T,) each, all ending in ``tail``; ``limit`` of them or all.

        ``soft`` float (T * R,): positive speaks for 0, the size is the confidence.
        """
        steps = len(soft) // self.rate
        losses, choices = self._forward(soft.reshape(steps, self.rate).astype(np.float32), tail)
        end = 0
        for bit in tail[-self.memory :]:
            end = (end << 1) | int(bit)
        heap: list[tuple[float, int, int, int, NDArray[np.int64]]] = []
        count = given = 0
        first = np.empty(steps + 1, dtype=np.int64)
        first[steps] = end
        heapq.heappush(heap, (0.0, count, steps, steps, first))
        # The ``limit`` smallest losses met so far, ascending: nothing above the last is ever given.
        kept: list[float] = [0.0]
        half = 1 << (self.memory - 1)
        while heap and given != limit:
            loss, _, until, flip, path = heapq.heappop(heap)
            path = path.copy()
            for step in range(until - 1, -1, -1):
                state = int(path[step + 1])
                upper = bool(choices[step, state]) != (step == flip)
                path[step] = (state >> 1) + (half if upper else 0)
            given += 1
            yield (path[1:] & 1).astype(np.uint8)
            # The path may leave the survivors only before the place where it left them last.
            free = np.arange(min(until, flip) if flip < steps else steps)
            costs = loss + losses[free, path[free + 1]]
            ceiling = np.inf if limit is None or len(kept) < limit else kept[-1]
            for place in np.flatnonzero(costs < ceiling):
                cost = float(costs[place])
                if limit is not None:
                    bisect.insort(kept, cost)
                    del kept[limit:]
                count += 1
                heapq.heappush(heap, (cost, count, int(place) + 1, int(place), path))

    def _forward(
        self, soft: NDArray[np.float32], tail: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Loss of not taking the survivor (T, S) and which predecessor it is (T, S)."""
        steps = len(soft)
        size = 1 << self.memory
        half = size // 2
        branch = soft @ self._outputs.T
        metric = np.full(size, -np.inf, dtype=np.float32)
        metric[0] = 0.0
        losses = np.empty((steps, size), dtype=np.float32)
        choices = np.empty((steps, size), dtype=np.bool_)
        unknown = steps - len(tail)
        for step in range(steps):
            # register = (state << 1) | bit: its low bits are the new state, its top bit the oldest bit
            lower = np.repeat(metric[:half], 2) + branch[step, :size]
            upper = np.repeat(metric[half:], 2) + branch[step, size:]
            if step >= unknown:
                forbidden = 1 - int(tail[step - unknown])
                lower[forbidden::2] = -np.inf
                upper[forbidden::2] = -np.inf
            choices[step] = upper > lower
            metric = np.maximum(lower, upper)
            with np.errstate(invalid="ignore"):
                losses[step] = metric - np.minimum(lower, upper)
        losses[~np.isfinite(losses)] = np.inf
        return losses, choices
