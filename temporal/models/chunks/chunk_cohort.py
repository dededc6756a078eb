"""The documents that a `ChunkReader` reads in lock-step: who still reads, and what each was told.

B documents of the cohort, R documents that still read, A answers so far, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...checks import check_finite
from ...handle import Handle
from ...policies.read import num_allowed
from ..depth.early_exit import DepthAnswer


class ChunkCohort:
    """Keeps the books of one cohort. Its documents that still read have read equally many chunks.

    Args:
        documents: B.
        chunks: of each document, ranges of its tokens in the order in which they are read.
        max_share: share of a document's chunks that may be read, at least one.
        skims: there is an answer before the first chunk, and tokens that are not read were skimmed.

    Attributes:
        reading: numbers of the documents that still read, R.
        answers: the newest answer of each document, logits `[K]`.
    """

    def __init__(
        self,
        documents: Sequence[Handle],
        chunks: Sequence[list[range]],
        *,
        max_share: float,
        skims: bool,
    ) -> None:
        self.documents, self.chunks, self.skims = documents, chunks, skims
        self.most = [num_allowed(len(parts), max_share) for parts in chunks]
        self.reading = list(range(len(documents)))
        self.answers: list[Tensor] = [torch.empty(0)] * len(documents)
        self._chunks_read = 0
        self._past_ARK: Tensor | None = None
        self._token_layers = [0] * len(documents)
        self._passed_over: list[set[int]] = [set() for _ in documents]  # inside chunks, by a pruner

    async def next_chunks(self) -> list[Tensor]:
        """The ids of the next chunk of each document that reads, int64 `[T]` each."""
        return [
            await self.documents[k].peek(self.chunks[k][self._chunks_read]) for k in self.reading
        ]

    def note_chunks(self, answers: Sequence[DepthAnswer], num_before: int) -> None:
        """Write down that these chunks were read, and how."""
        for k, answer in zip(self.reading, answers, strict=True):
            chunk = self.chunks[k][self._chunks_read]
            read: Sequence[int] = chunk
            if answer.skimmed:
                places = [place - num_before for place in answer.skimmed]
                over = {chunk[place] for place in places if 0 <= place < len(chunk)}
                read = [unit for unit in chunk if unit not in over]
                self._passed_over[k] |= over
            self.documents[k].note(read=read)
            self._token_layers[k] += answer.token_layers
        self._chunks_read += 1

    def settle(self, logits_RK: Tensor, halts: Callable[[Tensor], Tensor]) -> list[int]:
        """Take the next answers; documents that have read enough leave.

        Args:
            logits_RK: of the documents that read.
            halts: from all answers so far `[A, R, K]` to a bool `[R]`.

        Returns:
            Which of the R rows go on.
        """
        newest_1RK = check_finite(logits_RK)[None]
        past_ARK = newest_1RK
        if self._past_ARK is not None:
            past_ARK = torch.cat([self._past_ARK, newest_1RK])
        halts_R = halts(past_ARK).tolist()
        keep = []
        for row, k in enumerate(self.reading):
            self.answers[k] = logits_RK[row]
            if halts_R[row] or self._chunks_read == self.most[k]:
                self._leave(k, len(past_ARK) - 1)
            else:
                keep.append(row)
        if len(keep) < len(self.reading):
            self.reading = [self.reading[row] for row in keep]
            past_ARK = past_ARK[:, keep]
        self._past_ARK = past_ARK
        return keep

    def _leave(self, k: int, exit: int) -> None:
        document, chunks, count = self.documents[k], self.chunks[k], self._chunks_read
        unread = sorted(unit for chunk in chunks[count:] for unit in chunk)
        if unread and count:
            document.note(halted_at=chunks[count - 1][-1])
        skimmed = [*self._passed_over[k], *(unread if self.skims else [])]
        document.note(
            skimmed=sorted(skimmed),
            exit=exit,
            num_exits=len(chunks) + self.skims,
            token_layers=self._token_layers[k],
        )
