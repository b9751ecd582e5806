#!/bin/sh
# Times the blue team on a model of SmolLM2-135M's shape, ours and transformers with PEFT in turns, and writes the dated file
# benchmarks/smollm2_CPU_YYYYMM.md; needs nothing before. Arguments go to smollm2_run.py: --turns, --seconds, --write FILE.
set -eu
cd "$(dirname "$0")/.."
python=${PEERS_PYTHON:-benchmarks/peers/.venv/bin/python}
test -n "${PEERS_PYTHON:-}" || make --no-print-directory benchmarks/peers/.venv/.installed
model=${SMOLLM2_MODEL:-benchmarks/peers/work/smollm2}
test -f "$model/tokenizer_config.json" || "$python" reference/checkpoint_golden.py --full "$model"
exec "$python" benchmarks/peers/smollm2_run.py "$model" --write "$@"
