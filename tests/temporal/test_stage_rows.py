"""A stage returns a row for each row that it is given, or nobody gets any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from temporal.engine import Engine, Stage
from temporal.packed import Packed
from temporal.rows import WrongRowsError

from .number_source import Numbers


class Pair(NamedTuple):
    """A named tuple of tensors."""

    double: Tensor
    total: Tensor


def packed_of(rows_BD: Tensor) -> Packed:
    """Two units for each row."""
    return Packed(rows_BD.repeat_interleave(2, 0), (2,) * len(rows_BD))


FORMS: dict[str, tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]] = {
    "tensor": (lambda x: 2 * x, lambda out: out),
    "tuple": (lambda x: (x, 2 * x), lambda out: out[1]),
    "list": (lambda x: [2 * x], lambda out: out[0]),
    "named tuple": (lambda x: Pair(2 * x, x.sum(1)), lambda out: out.double),
    "dict": (lambda x: {"a": 2 * x, "b": None}, lambda out: out["a"]),
    "nested": (lambda x: ({"a": [x, (2 * x,)]}, x), lambda out: out[0]["a"][1][0]),
    "packed": (lambda x: packed_of(2 * x), lambda out: out.values[::2]),
    "ModelOutput": (
        lambda x: BaseModelOutput(last_hidden_state=x, hidden_states=(x, 2 * x)),
        lambda out: out.hidden_states[1],
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_result_is_split_among_its_callers(form: str) -> None:
    make, double_of = FORMS[form]
    stage = Stage(make)
    first, second = torch.rand(2, 3), torch.rand(5, 3)
    results, _, _ = stage.run([stage(first), stage(second)], count_macs=False)
    (alone,), _, _ = stage.run([stage(first)], count_macs=False)
    assert type(results[0]) is type(results[1]) is type(alone) is type(make(first))
    for result, given in ((results[0], first), (results[1], second), (alone, first)):
        assert torch.equal(double_of(result), 2 * given)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sizes", [(3,), (1, 2)])
@pytest.mark.parametrize("change", ["one less", "one more", "none"])
def test_another_number_of_rows_is_an_error_in_every_form(
    form: str, sizes: tuple[int, ...], change: str
) -> None:
    make, _ = FORMS[form]
    changed = {"one less": lambda x: x[1:], "one more": lambda x: torch.cat([x, x[:1]])}
    stage = Stage(lambda x: make(changed.get(change, lambda x: x[:0])(x)), name="lossy")
    with pytest.raises(WrongRowsError, match=r"stage 'lossy' was given 3 rows and returned"):
        stage.run([stage(torch.rand(size, 4)) for size in sizes], count_macs=False)
    assert (stage.calls, stage.rows) == (0, 0)


def test_the_message_says_where_in_the_result() -> None:
    stage = Stage(lambda x: {"logits": x, "states": (x, x.mean(0, keepdim=True))}, name="mean")
    with pytest.raises(WrongRowsError, match=r"2 rows and returned 1 rows in its result\['st"):
        stage.run([stage(torch.rand(2, 3))], count_macs=False)


@pytest.mark.parametrize("result", [1.0, "text", {"loss": 3}])
def test_what_has_no_rows_is_refused_alone_as_in_company(result: Any) -> None:
    stage = Stage(lambda x: result, name="odd")
    for calls in ([stage(torch.rand(2, 3))], [stage(torch.rand(1, 3))] * 2):
        with pytest.raises(TypeError, match=r"stage 'odd' returned a .*which has no rows"):
            stage.run(calls, count_macs=False)
    scalar = Stage(lambda x: x.sum(), name="scalar")
    with pytest.raises(WrongRowsError, match="returned a scalar"):
        scalar.run([scalar(torch.rand(2, 3))], count_macs=False)


def test_arguments_of_one_call_have_one_number_of_rows() -> None:
    stage = Stage(lambda x, y: x + y, name="sum")
    with pytest.raises(ValueError, match=r"arguments of stage 'sum' .* not \[2, 3\]"):
        stage(torch.rand(2, 4), torch.rand(3, 4))


def test_macs_are_counted_for_every_row() -> None:
    stage = Stage(lambda x: (x, torch.tensor([7])), counts_macs=True, name="counting")
    with pytest.raises(WrongRowsError, match="stage 'counting' was given 2 rows .* MACs of 1"):
        stage.run([stage(torch.rand(2, 3))], count_macs=True)


@pytest.mark.parametrize("in_flight", [1, 4])
@pytest.mark.parametrize("cohort", [1, 2])
def test_all_who_wait_for_a_lossy_stage_get_an_error_and_nobody_a_row(
    in_flight: int, cohort: int
) -> None:
    """Alone each of these calls would look right: only together does the stage lose rows."""
    lossy = Stage(lambda rows: torch.unique(rows // 10, dim=0), name="lossy")
    sound = Stage(lambda rows: rows.sum(1))

    async def read(handles: Any) -> Any:
        rows = torch.cat([await handle.read([0]) for handle in handles])
        await sound(rows)
        return list(await lossy(rows))

    items = [[Numbers(k + j) for j in range(cohort)] for k in range(0, 4 * cohort, cohort)]
    outcomes = list(Engine(in_flight * cohort, deterministic=True).run(read, items))
    assert len(outcomes) == 4 * cohort
    if in_flight == 1 and cohort == 1:
        assert all(outcome.error is None for outcome in outcomes)
        return
    assert {type(outcome.error) for outcome in outcomes} == {WrongRowsError}
    assert all(outcome.value is None for outcome in outcomes)
