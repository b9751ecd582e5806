"""Times lm-evaluation-harness's ifeval and ours on the same 541 responses, and writes the dated file of benchmarks/.

    NLTK_DATA=FOLDER python reference/ifeval_time.py ../shared/data/ifeval/input_data.jsonl benchmarks

FOLDER holds tokenizers/punkt_tab/english, made by reference/punkt_model.py. The responses are generated as those of
reference/ifeval_golden.py and repeated to about 200 words. Ours is `go test -bench` over the package that the score
command calls, on the same file; the reference's time is that of process_results after its imports and first call.
"""

import datetime
import json
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
import time


def cpu():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def main():
    data, folder = os.path.abspath(sys.argv[1]), sys.argv[2]
    sys.argv = ["ifeval_golden.py"]
    here = os.path.dirname(os.path.abspath(__file__))
    source = open(os.path.join(here, "ifeval_golden.py"), encoding="utf-8").read().replace("\nmain()\n", "\n")
    golden = {"__name__": "golden"}
    exec(compile(source, "ifeval_golden.py", "exec"), golden)
    from lm_eval.tasks.ifeval import utils

    rng = random.Random(3)
    with open(data, encoding="utf-8") as f:
        docs = [json.loads(line) for line in f]
    responses = []
    for doc in docs:
        text = golden["respond"](rng, doc["instruction_id_list"], doc["kwargs"])
        while len(text.split()) < 200:
            text += "\n" + golden["prose"](rng, golden["ENGLISH"], 4)
        responses.append(text)
    utils.process_results(docs[0], [responses[0]])
    theirs = []
    for _ in range(3):
        start = time.perf_counter()
        results = [utils.process_results(d, [r]) for d, r in zip(docs, responses)]
        theirs.append(time.perf_counter() - start)
    strict = sum(r["prompt_level_strict_acc"] for r in results)
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as f:
        for d, r in zip(docs, responses):
            f.write(json.dumps({"prompt": d["prompt"], "response": r}) + "\n")
        f.flush()
        command = ["go", "test", "-run", "^$", "-bench", "^BenchmarkIFEvalFile$", "-benchtime", "5x", "-count", "3", "./internal/evals"]
        out = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "IFEVAL_DATA": data, "IFEVAL_RESPONSES": f.name})
    print(out.stdout + out.stderr)
    ours = [float(m) / 1e9 for m in re.findall(r"\s([\d.]+) ns/op", out.stdout)]
    ours_strict = [float(m) for m in re.findall(r"([\d.]+) strict", out.stdout)]
    assert len(ours) == 3 and all(v == strict for v in ours_strict), (ours_strict, strict)
    words = sum(len(r.split()) for r in responses) / len(responses)
    name = re.sub(r"[^a-z0-9]+", "-", cpu().lower()).strip("-")
    path = os.path.join(folder, f"ifeval_{name}_{datetime.date.today():%Y%m}.md")
    go = subprocess.run(["go", "version"], capture_output=True, text=True).stdout.strip()
    version = __import__("importlib.metadata").metadata.version
    os.makedirs(folder, exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"""# Scoring IFEval: ours and the reference

{datetime.date.today()}, {cpu()}, {os.cpu_count()} cores (shared), one process each, one after the other in one run of
`python reference/ifeval_time.py DATA benchmarks`.

{len(docs)} published prompts, one generated response each of {words:.0f} words on average. Both call {strict:.0f} of them followed (strict, prompt
level). The first call, with which each loads its language profiles and sentence model, is not counted for the reference and
is one of five for ours.

| | best of 3 | worst of 3 |
|---|---|---|
| lm-evaluation-harness {version("lm_eval")}, Python {platform.python_version()}, nltk {version("nltk")}, langdetect {version("langdetect")} | {min(theirs):.2f} s | {max(theirs):.2f} s |
| `evals` (what `score ifeval` calls), {go.split()[2]} | {min(ours):.3f} s | {max(ours):.3f} s |

Ratio of the best: {min(theirs) / min(ours):.0f}. Not measured: start-up (the reference imports for seconds), memory, other lengths of response.
""")
    print(open(path).read())


main()
