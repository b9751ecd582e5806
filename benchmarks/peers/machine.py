"""The machine that a comparison runs on, and how quiet it was. Used by run.py and smollm2_run.py."""

import datetime
import os
import platform
import re
import statistics
import subprocess
import textwrap
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WORK = os.path.join(HERE, "work")
QUIET = 0.1  # the share of the processors that others may use of a quiet machine


def cpu():
    for line in open("/proc/cpuinfo", encoding="utf-8"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def dated(theme):
    """The file that a comparison is written to where no other is named."""
    slug = re.sub(r"[^a-z0-9]+", "-", cpu().lower()).strip("-")
    return os.path.join(ROOT, "benchmarks", f"{theme}_{slug}_{datetime.date.today():%Y%m}.md")


def save(path, text):
    """Writes a document as far as it goes: a run that is stopped leaves what it has."""
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def commit():
    def git(*args):
        return subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    head = git("rev-parse", "--short", "HEAD") or "unknown"
    return head + (" with changes" if git("status", "--porcelain", "--", "*.go", "*.s", "*.py") else "")


def times():
    """Ticks that the processors have been busy, and all of them: time that a hypervisor gave to others counts as busy."""
    t = [int(x) for x in open("/proc/stat", encoding="utf-8").readline().split()[1:9]]
    return sum(t) - t[3] - t[4], sum(t)


def busy(seconds=0.5):
    """The share of all processors that is used over so long a time."""
    b0, a0 = times()
    time.sleep(seconds)
    b1, a1 = times()
    return (b1 - b0) / max(1, a1 - a0)


def fill(text, indent=""):
    """Breaks a paragraph into lines."""
    return textwrap.fill(text, 128, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def span(values, form):
    """The least, median and greatest of values."""
    return " – ".join(form.format(f(values)) for f in (min, statistics.median, max))


class Watch:
    """Looks before every turn, while our own processes wait, at what others do."""

    def __init__(self, wait):
        self.wait, self.load, self.busy = wait, [], []

    def look(self):
        """Waits for a quiet machine, but not longer than self.wait, and keeps what it saw last."""
        end = time.monotonic() + self.wait
        share = busy()
        while share > QUIET and time.monotonic() < end:
            share = busy(1)
        self.load.append(os.getloadavg()[0])
        self.busy.append(share)
        return f"load {self.load[-1]:.1f}, others use {100 * share:.0f} %"

    def text(self):
        loud = sum(b > QUIET for b in self.busy)
        if loud:
            verdict = f"**The machine was not quiet**: before {loud} of {len(self.busy)} turns others used more than {100 * QUIET:.0f} % of it."
        else:
            verdict = "The machine was quiet."
        return fill(
            f"Before the {len(self.busy)} turns, while none of the programs compared ran, other programs used {span([100 * b for b in self.busy], '{:.0f}')} % "
            f"of the processors (least, median, greatest); the load average, in which the turn before is counted, was {span(self.load, '{:.1f}')}. {verdict}")
