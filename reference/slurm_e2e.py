"""Reads the journals of workers and says how often each step was done and how much of a training was done twice."""

import json
import pathlib
import sys


def main() -> int:
    runs, disturbed, interval = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    done: dict[str, int] = {}
    attempts: dict[str, list[tuple[int, float, float]]] = {}  # of a step: when it began, from where, to where
    kinds: dict[str, str] = {}
    for path in sorted(runs.glob("*.jsonl")):
        now: dict[str, list[float]] = {}
        for line in path.read_text(errors="replace").splitlines():
            try:
                event = json.loads(line)
            except json.JSONDecodeError:
                continue  # cut off by a kill
            step, state = event.get("step"), event.get("state")
            if step is None:
                continue
            if state == "running":
                kinds[step] = event.get("kind", "")
                now[step] = [event["t"], -1.0, -1.0]
            elif state == "progress" and step in now:
                if now[step][1] < 0:
                    now[step][1] = event["done"]
                now[step][2] = event["done"]
            elif state == "done":
                done[step] = done.get(step, 0) + 1
            if state in ("done", "canceled", "waiting", "failed") and step in now:
                began, first, last = now.pop(step)
                attempts.setdefault(step, []).append((int(began), first, last))
        for step, (began, first, last) in now.items():  # killed in it
            attempts.setdefault(step, []).append((int(began), first, last))
    twice = {s: n for s, n in done.items() if n > 1}
    again = {s: sorted(a) for s, a in attempts.items() if len(a) > 1}
    worst = 0.0
    for step, tries in sorted(again.items()):
        told = [(first, last) for _, first, last in tries if first >= 0]
        repeated = [max(0.0, before[1] - after[0] + 1) for before, after in zip(told, told[1:], strict=False)]
        if kinds.get(step) in ("arm", "organism") and repeated:
            worst = max(worst, max(repeated))
        print(f"  {step}: begun {len(tries)} times, steps of training done twice: {[round(r) for r in repeated]}")
    print(f"{len(done)} steps were done, {sum(len(a) for a in attempts.values())} times begun, {disturbed} jobs disturbed, {len(twice)} done twice")
    print(f"most steps of one training done twice after one interruption: {worst:.0f}")
    if twice:
        print(f"done twice: {twice}")
        return 1
    if worst > interval:
        print(f"more was done twice than the {interval} steps between two saved states")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
