#!/usr/bin/env bash
# Takes a teacher's answers from a real server, transformers serve, and kills the program while they are made. Then has every checkpoint of
# an experiment asked through servers that the program starts itself, and compares the rates with those of the embedded engine.
#
#   reference/openai_e2e.sh PROGRAM TOOLS
#
# PROGRAM is the built program. transformers with its server is installed below TOOLS (about 5 GB, torch is one of its needs). The
# server's model is the program's own teacher, exported to a folder.
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "$1")
mkdir -p "$2"
tools=$(realpath "$2")
if [[ ! -e $tools/.installed ]]; then
  "${PYTHON:-python3}" -m venv "$tools"
  "$tools/bin/python" -m pip install -q "transformers[serving]==5.24.0" "torch==2.13.0"
  touch "$tools/.installed"
fi

work=$(mktemp -d)
server=
trap 'if [[ -n $server ]]; then kill $server && wait $server; fi 2>/dev/null || true; rm -rf "$work"' EXIT
fail() { echo "FAIL: $*" >&2; exit 1; }

# experiment TEACHER: an organism that learns next to nothing, and an intervention on 40 answers of the teacher.
experiment() {
  cat <<END
name: e2e
bases:
  small: {shipped: micro-small}
  teacher: $1
organisms:
  org: {base: small, prompts: 40, batch: 4, steps: 2}
gate: {prompts: 4, near_misses: 0, triggered: 0, clean: 1, tolerance: 1}
evaluation: {prompts: 4, max_tokens: 8}
interventions:
  hhh: {technique: hhh, rank: 4, batch: 4, steps: 2, prompts: 40}
END
}

experiment "{shipped: micro-teacher}" >"$work/own.yaml"
"$program" run "$work/own.yaml" --store "$work/own" -o "$work/own-report" >"$work/own.log" 2>&1 || { cat "$work/own.log"; fail "the experiment that makes the teacher"; }
"$program" export "$work/own.yaml" base/teacher "$work/teacher" --store "$work/own" >/dev/null

port=$("$tools/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
HF_HUB_OFFLINE=1 "$tools/bin/transformers" serve "$work/teacher" --host 127.0.0.1 --port "$port" --device cpu >"$work/server.log" 2>&1 &
server=$!
for n in $(seq 1200); do # ten minutes: PyTorch is slow to start on a busy machine
  curl -sf "http://127.0.0.1:$port/health" >/dev/null && break
  kill -0 $server 2>/dev/null || { cat "$work/server.log"; fail "the server ended"; }
  [[ $n -lt 1200 ]] || fail "the server is not ready"
  sleep 0.5
done

experiment "{openai: \"http://127.0.0.1:$port/v1\", model: \"$work/teacher\", in_flight: 2}" >"$work/served.yaml"
"$program" run "$work/served.yaml" --store "$work/store" -o "$work/report" >"$work/first.log" 2>&1 &
run=$!
kept() { find "$work/store" -path '*answers/rows.jsonl' -exec cat {} + 2>/dev/null | wc -l; }
for n in $(seq 600); do
  [[ $(kept) -ge 5 ]] && break
  kill -0 $run 2>/dev/null || break
  sleep 0.1
done
before=$(kept)
kill -9 $run 2>/dev/null || true
wait $run 2>/dev/null || true
[[ $before -ge 5 ]] || { cat "$work/first.log"; fail "$before answers were kept before the kill"; }
"$program" run "$work/served.yaml" --store "$work/store" -o "$work/report" >"$work/second.log" 2>&1 || { cat "$work/second.log" "$work/server.log"; fail "the run after the kill"; }
echo "killed after $before of 40 answers, and resumed"
"$program" results "$work/served.yaml" --store "$work/store" --format json >"$work/results.json"
"$tools/bin/python" - "$work/results.json" "$work/store" <<'END'
import json, sys, pathlib

results = json.load(open(sys.argv[1]))
counts = [arm["data"] for arm in results["arms"] if arm.get("data")]
assert counts and counts[0]["asked"] == 40, counts
print("rows:", counts[0])
assert counts[0]["kept"] >= 20, "a teacher of the micro-world answers most of its prompts"
END

# asked FIELDS: an experiment whose checkpoints are asked.
asked() {
  cat <<END
name: asked
bases:
  small: {shipped: micro-small}
organisms:
  org: {base: small, prompts: 200, batch: 16, steps: 60, lr: 1e-3}
gate: {prompts: 100, near_misses: 0, triggered: 0, clean: 1, tolerance: 1}
evaluation: {prompts: 60, max_tokens: 24, suites: {mmlu: {items: 40}, ifeval: {items: 40}}}
interventions:
  hhh: {technique: hhh, responses: student, rank: 4, batch: 8, steps: 10, prompts: 80, at: [0, 10]}
$1
END
}
asked "" >"$work/here.yaml"
asked "engine:
  ask:
    serve: {command: [\"$tools/bin/transformers\", serve, \"{model}\", --host, 127.0.0.1, --port, \"{port}\", --device, cpu, --dtype, float32], ready: /health, within: 10m}
    in_flight: 2" >"$work/asked.yaml"
for f in here asked; do
  HF_HUB_OFFLINE=1 "$program" run "$work/$f.yaml" --store "$work/$f" -o "$work/$f-report" >"$work/$f.log" 2>&1 || { cat "$work/$f.log"; fail "the experiment $f"; }
  "$program" results "$work/$f.yaml" --store "$work/$f" --format json >"$work/$f.json"
done
"$tools/bin/python" - "$work/here.json" "$work/asked.json" <<'END'
import json, math, sys

def points(path):
    r = json.load(open(path))
    out = []
    for o in r["organisms"]:
        out += o["base"] + o["gate"]
    for a in r["arms"]:
        out += a["points"]
    return {(p["phase"], p["step"], p["suite"], p.get("condition", "")): p for p in out}

def wilson(k, n, z=3.29):  # 99.9 %: a dozen points are compared
    p, d = k / n, 1 + z * z / n
    m, h = (p + z * z / (2 * n)) / d, z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / d
    return m - h, m + h

here, asked = points(sys.argv[1]), points(sys.argv[2])
assert here.keys() == asked.keys() and len(here) >= 10, (len(here), len(asked))
for key, a in asked.items():
    h = here[key]
    assert a["asked"], key
    written = a["asked"].endswith("letters written")
    assert written == (key[2] == "mmlu"), (key, a["asked"])
    low, high = wilson(a["k"], a["n"])
    print(*key, f'{a["k"]}/{a["n"]} and {h["k"]}/{h["n"]} here:', a["asked"])
    assert written or low <= h["k"] / h["n"] <= high, key
print(len(asked), "points asked through transformers serve")
END
