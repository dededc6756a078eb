"""What `temporal run` was asked, and which of it a resumed run must equal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import temporal

from ..jobs.manifest import RunManifest
from ..jobs.run_contents import contents, is_same_place
from ..reading import OnError
from ..tasks.registry import record_of
from .faults import UsageFault


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """The arguments of `temporal run`; see its help."""

    task: str
    inputs: tuple[str, ...]
    output: Path
    model: str | None
    budget: float | None
    max_drop: float | None
    policy: str | None
    batch_size: int | None
    device: str | None
    on_error: OnError
    max_error_rate: float | None = None
    top_k: int | None
    resume: bool
    resume_anyway: bool = False
    overwrite: bool
    format: Literal["parquet", "jsonl"]
    column: str | None
    id_column: str | None
    limit: int | None
    keep_text: bool
    deadline_seconds: float
    token_reduction: str | None = None
    sampling: str | None = None
    dtype: str | None = None
    candidate_labels: tuple[str, ...] = ()
    hypothesis_template: str | None = None
    question: str | None = None
    answers: tuple[str, ...] = ()
    num_frames: int | None = None
    max_new_tokens: int | None = None
    audit: float | None = None
    max_disagreement: float | None = None
    audit_seed: int = 0
    max_pixels: int | None = None
    allow_remote: bool | tuple[str, ...] = False
    quiet: bool
    place: str = ""
    """The output as it was given: a directory, or a URL."""
    only_complete: bool = False
    appearing: Any = None
    """Where the run is written (`output`) that appears at `place` when it is complete."""

    @property
    def kind(self) -> Literal["video", "text"]:
        """What the inputs are."""
        return record_of(self.task).kind

    @property
    def remote(self) -> bool | list[str]:
        """Which URLs are read, as it is written down."""
        return self.allow_remote if isinstance(self.allow_remote, bool) else [*self.allow_remote]

    @property
    def zero_shot(self) -> dict[str, Any]:
        """What only zero-shot tasks are told; empty where nothing is."""
        told = {
            "candidate_labels": list(self.candidate_labels) or None,
            "hypothesis_template": self.hypothesis_template,
        }
        return {name: value for name, value in told.items() if value is not None}

    def own_audit(self) -> Any:
        """What watches the run; None: nothing was asked for.

        Raises:
            UsageFault: an argument is out of its range.
        """
        from ..auditing.audit import Audit

        if self.audit is None and self.max_disagreement is None:
            return None
        try:
            return Audit(
                self.audit or 0.0, max_disagreement=self.max_disagreement, seed=self.audit_seed
            )
        except ValueError as error:
            message = str(error).replace("max_disagreement", "--max-disagreement")
            raise UsageFault(message.replace("audit (", "--audit (")) from error

    @property
    def asked(self) -> dict[str, Any]:
        """What tasks that answer questions, and they alone, are told; empty where nothing is."""
        told = {
            "question": self.question,
            "options": list(self.answers) or None,
            "num_frames": self.num_frames,
            "max_new_tokens": self.max_new_tokens,
        }
        return {name: value for name, value in told.items() if value is not None}

    def manifest(
        self,
        model_name: str,
        *,
        reads_files: bool = True,
        weights: Mapping[Path, str] = MappingProxyType({}),
    ) -> RunManifest:
        """What a resumed run must equal: batch size and device change no row, `limit` may grow.

        Args:
            model_name: The pipeline's.
            reads_files: False: leave out what the files hold, which costs reading them.
            weights: See `contents`.
        """
        before = RunManifest.read(self.output) if self.output.is_dir() else None
        if before is not None and is_same_place(before.model, model_name):
            model_name = before.model
        options: dict[str, Any] = {
            "inputs": list(self.inputs),
            "column": self.column,
            "id_column": self.id_column,
            "max_drop": self.max_drop,
            "policy": self.policy,
            "dtype": self.dtype,
            "top_k": self.top_k,
            "format": self.format,
            "keep_text": self.keep_text,
        }
        if self.audit:
            options["audit"] = [self.audit, self.max_disagreement, self.audit_seed]
        if self.kind == "video":
            options["token_reduction"] = self.token_reduction
            options["sampling"] = self.sampling
            options |= self.zero_shot | self.asked
            options["max_pixels"] = self.max_pixels
            options["allow_remote"] = self.remote
        return RunManifest(
            task=self.task,
            model=model_name,
            budget=self.budget,
            options=options,
            version=temporal.__version__,
            contents=self._contents(before, weights) if reads_files else {},
        )

    def _contents(self, before: RunManifest | None, weights: Mapping[Path, str]) -> dict[str, str]:
        return contents(
            self.model,
            self.inputs,
            before,
            kind=self.kind,
            has_ids=self.id_column is not None,
            weights=weights,
        )
