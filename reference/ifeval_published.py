"""Holds `score ifeval` against lm-evaluation-harness on published responses, item by item.

    make e2e-ifeval RESPONSES=input_response_data_gpt4_20231107_145030.jsonl

RESPONSES is a file of {"prompt", "response"} rows: GPT-4's, for one, are in google-research, folder instruction_following_eval/data.
The reference judges every response several times, as it is, with nothing pinned: items on which it disagrees with itself are those that
it leaves to chance. On all others both must agree in the four verdicts.
"""

from __future__ import annotations

import json
import pathlib
import random
import subprocess
import sys
import tempfile
from typing import Any

TIMES = 8

Verdicts = tuple[bool, bool, tuple[bool, ...], tuple[bool, ...]]


def rows(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in pathlib.Path(path).read_text(encoding="utf-8").split("\n") if line.strip()]


def judged(result: dict[str, Any]) -> Verdicts:
    return (
        bool(result["prompt_level_strict_acc"]),
        bool(result["prompt_level_loose_acc"]),
        tuple(map(bool, result["inst_level_strict_acc"])),
        tuple(map(bool, result["inst_level_loose_acc"])),
    )


def reference(docs: list[dict[str, Any]], responses: dict[str, str]) -> list[set[Verdicts]]:
    from lm_eval.tasks.ifeval import utils

    out: list[set[Verdicts]] = [set() for _ in docs]
    for turn in range(TIMES):
        random.seed(turn)
        for seen, doc in zip(out, docs, strict=True):
            seen.add(judged(utils.process_results(doc, [responses[doc["prompt"]]])))
    return out


def ours(program: str, data: str, responses: str) -> dict[str, Verdicts]:
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "score", "ifeval", "--data", data, "--responses", responses, "--format", "lm-eval", "--out", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (samples,) = pathlib.Path(folder).rglob("samples_*.jsonl")
        return {str(row["doc"]["key"]): judged(row) for row in rows(str(samples))}


def main() -> None:
    program, data, responses = sys.argv[1:4]
    docs = rows(data)
    answers = {row["prompt"]: row["response"] for row in rows(responses)}
    theirs = reference(docs, answers)
    mine = ours(program, data, responses)
    chance = [str(d["key"]) for d, seen in zip(docs, theirs, strict=True) if len(seen) > 1]
    unlike = [str(d["key"]) for d, seen in zip(docs, theirs, strict=True) if len(seen) == 1 and mine[str(d["key"])] not in seen]
    strict = sum(mine[str(d["key"])][0] for d in docs)
    print(f"{len(docs)} items, {strict} followed (strict); the reference disagrees with itself on {chance}; on the others ours differs on {unlike}")
    if unlike or len(docs) != len(mine):
        sys.exit(1)


main()
