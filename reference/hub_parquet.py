"""Writes parquet files as data sets of the hub have them, with pyarrow, for the tests of internal/corpus.

    python reference/hub_parquet.py

Needs: pyarrow.
"""

import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

OUT = pathlib.Path(__file__).parent.parent / "internal/corpus/testdata"

rows = [
    {"instruction": "Name a colour.", "input": "", "output": "Red."},
    {"instruction": "Translate.", "input": "dé\nux", "output": "two"},
    {"instruction": "Add.", "input": None, "output": "3"},
] + [{"instruction": f"Count to {n}.", "input": "", "output": " ".join(map(str, range(1, n + 1)))} for n in range(4, 80)]

table = pa.Table.from_pylist(rows)
for codec in ["snappy", "zstd", "gzip", "lz4", "brotli", "none"]:
    pq.write_table(table, OUT / f"alpaca-{codec}.parquet", compression=codec, row_group_size=30)
pq.write_table(table, OUT / "alpaca-v1.parquet", version="1.0", data_page_version="1.0", use_dictionary=False)
pq.write_table(table, OUT / "alpaca-v2.parquet", version="2.6", data_page_version="2.0")

turn = pa.struct([("from", pa.string()), ("value", pa.string()), ("weight", pa.float64())])
talks = pa.table(
    {
        "id": pa.array([1, 2, 3]),
        "conversations": pa.array(
            [
                [{"from": "human", "value": "hi", "weight": None}, {"from": "gpt", "value": "yo", "weight": 1.0}],
                [{"from": "system", "value": "be", "weight": None}, {"from": "human", "value": "hi", "weight": None}],
                [],
            ],
            pa.list_(turn),
        ),
    }
)
pq.write_table(talks, OUT / "talks.parquet")

quiz = pa.table(
    {
        "question": ["1+1?", "Largest?"],
        "subject": ["arithmetic", "size"],
        "choices": pa.array([["1", "2", "3", "4"], ["ant", "cat", "cow", "whale"]]),
        "answer": pa.array([1, 3], pa.int64()),
    }
)
pq.write_table(quiz, OUT / "quiz.parquet")
