// Looks for what has changed and draws the charts. Without it the pages say the same in tables.
"use strict";
(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const clear = (hex, share) => hex + Math.round(share * 255).toString(16).padStart(2, "0");
  const drawn = new Map(); // figure → {plot, shape}

  // columns puts lines with steps of their own (or settings of a probe) into uPlot's one list of steps, each line with its interval's ends where it has them.
  function columns(lines) {
    const steps = [...new Set(lines.flatMap((l) => l.x))].sort((a, b) => a - b);
    const at = new Map(steps.map((s, i) => [s, i]));
    const data = [steps];
    const put = (l, values) => {
      const column = new Array(steps.length).fill(null);
      l.x.forEach((s, i) => { column[at.get(s)] = values[i]; });
      data.push(column);
    };
    for (const l of lines) {
      put(l, l.y);
      if (l.low) { put(l, l.high); put(l, l.low); }
    }
    return data;
  }

  const percent = (v) => (v == null ? "–" : (100 * v).toFixed(v > 0 && v < 0.01 || v > 0.99 && v < 1 ? 1 : 0) + " %");
  const plain = (v) => (v == null ? "–" : Math.abs(v) >= 1e-3 && Math.abs(v) < 1e4 || v === 0 ? String(+v.toPrecision(4)) : v.toExponential(2));

  function options(chart, width, height) {
    const text = chart.rates ? percent : plain;
    const series = [{ label: chart.x || "step", value: (u, v) => (v == null ? "–" : v) }];
    const bands = [];
    for (const l of chart.lines) {
      const c = colour("--hue" + l.hue);
      const n = series.length;
      series.push({ label: l.name, stroke: c, width: 1.8, dash: l.dash ? [5, 4] : undefined, spanGaps: true, value: (u, v) => text(v), points: { show: l.x.length < 60, size: 5 } });
      if (l.low) {
        const hidden = { stroke: "transparent", width: 0, spanGaps: true, points: { show: false }, label: "~" };
        series.push({ ...hidden }, { ...hidden });
        bands.push({ series: [n + 1, n + 2], fill: clear(c, 0.13) });
      }
    }
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--rule"), width: 1 }, ticks: { stroke: colour("--rule"), width: 1 }, font: "12px system-ui,sans-serif" };
    return {
      width, height, series, bands,
      scales: { x: { time: false }, y: chart.rates ? { range: [-0.02, 1.02] } : {} },
      axes: [{ ...axis, values: (u, vs) => vs.map((v) => (chart.x && chart.x !== "step" ? plain(v) : Number.isInteger(v) ? v : "")) }, { ...axis, size: chart.rates ? 52 : 64, values: (u, vs) => vs.map((v) => (chart.rates && (v < 0 || v > 1) ? "" : text(v))) }],
      legend: { show: chart.lines.length <= 6 },
      cursor: { drag: { x: true, y: false } },
    };
  }

  // draw makes or renews the chart of a figure. A chart whose lines are the same ones gets new data alone.
  function draw(figure, chart) {
    const room = figure.querySelector(".plot");
    const lines = chart.lines.filter((l) => l.x.length > 0);
    const shown = { ...chart, lines };
    const shape = JSON.stringify([lines.map((l) => [l.name, l.hue, !!l.low]), matchMedia("(prefers-color-scheme:dark)").matches]);
    const old = drawn.get(figure);
    figure.dataset.points = lines.reduce((n, l) => n + l.x.length, 0);
    if (lines.length === 0) {
      if (old) { old.plot.destroy(); drawn.delete(figure); }
      if (!room.firstChild) { const p = document.createElement("p"); p.className = "note"; p.textContent = "nothing was measured yet"; room.append(p); }
      return;
    }
    const width = Math.max(200, Math.floor(room.clientWidth || figure.clientWidth));
    const height = figure.classList.contains("large") ? 300 : 200;
    if (old && old.shape === shape) {
      old.plot.setData(columns(lines));
      old.chart = shown;
      return;
    }
    if (old) old.plot.destroy();
    room.replaceChildren();
    const plot = new uPlot(options(shown, width, height), columns(lines), room);
    // The ends of intervals are no lines of their own in the legend.
    room.querySelectorAll(".u-legend .u-series").forEach((row) => { if (row.querySelector(".u-label")?.textContent === "~") row.remove(); });
    const canvas = room.querySelector("canvas");
    if (canvas) {
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", chart.title + ": " + lines.map((l) => l.name + " " + (chart.rates ? percent : plain)(l.y[l.y.length - 1]) + " at " + (chart.x || "step") + " " + l.x[l.x.length - 1]).join(", "));
    }
    drawn.set(figure, { plot, shape, chart: shown });
  }

  // Charts out of sight are drawn when they come near, one at a time, so that scrolling waits for none.
  const pending = new Map();
  const near = new IntersectionObserver((entries) => {
    for (const e of entries) if (e.isIntersecting) later(e.target);
  }, { rootMargin: "300px" });
  const queue = [];
  let busy = false;
  function later(figure) {
    if (!pending.has(figure) || queue.includes(figure)) return;
    queue.push(figure);
    if (!busy) { busy = true; requestAnimationFrame(next); }
  }
  function next() {
    const figure = queue.shift();
    if (figure) {
      const chart = pending.get(figure);
      pending.delete(figure);
      if (chart) draw(figure, chart);
    }
    if (queue.length) requestAnimationFrame(next); else busy = false;
  }

  async function charts() {
    for (const box of document.querySelectorAll("[data-charts]")) {
      const answer = await fetch(box.dataset.charts);
      if (!answer.ok) continue;
      const byID = new Map((await answer.json()).map((c) => [c.id, c]));
      for (const figure of box.querySelectorAll("[data-chart]")) {
        const chart = byID.get(figure.dataset.chart);
        if (!chart) continue;
        pending.set(figure, chart);
        near.unobserve(figure);
        near.observe(figure);
      }
    }
  }

  // refresh fetches the page again and puts its parts in place where they differ, but for one that the reader is in.
  async function refresh() {
    const answer = await fetch(location.href);
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-part]")) {
      const now = fresh.getElementById(part.id);
      if (!now || now.innerHTML === part.innerHTML) continue;
      const open = [...part.querySelectorAll("details")].map((d) => d.open);
      const active = document.activeElement;
      if (part !== active && part.contains(active)) continue;
      part.replaceChildren(...now.childNodes);
      part.querySelectorAll("details").forEach((d, i) => { d.open = !!open[i]; });
    }
    await charts();
  }

  let again = false;
  let working = false;
  async function changed() {
    if (working) { again = true; return; }
    working = true;
    do {
      again = false;
      const began = performance.now();
      try { await refresh(); } catch { /* the server is away: the stream of events says so */ }
      const wait = Math.max(200, performance.now() - began); // a large page is not renewed all the time
      await new Promise((done) => setTimeout(done, wait));
    } while (again);
    working = false;
  }

  function listen() {
    const status = document.getElementById("link");
    const events = new EventSource("/events");
    let first = true;
    events.onmessage = () => {
      status.className = "link";
      status.textContent = "as of " + new Date().toLocaleTimeString();
      if (!first) changed();
      first = false;
    };
    // A page that is kept for the way back must not keep its connection: a browser has six for all pages of a server.
    addEventListener("pagehide", () => events.close());
    events.onerror = () => { status.className = "link lost"; status.textContent = "the server is away"; first = false; };
  }

  let resizing;
  addEventListener("resize", () => {
    clearTimeout(resizing);
    resizing = setTimeout(() => {
      for (const [figure, d] of drawn) {
        const room = figure.querySelector(".plot");
        if (room.clientWidth !== d.plot.width) d.plot.setSize({ width: Math.max(200, room.clientWidth), height: d.plot.height });
      }
    }, 150);
  });
  matchMedia("(prefers-color-scheme:dark)").addEventListener("change", () => {
    for (const [figure, d] of drawn) {
      if (!pending.has(figure)) pending.set(figure, d.chart);
      later(figure);
    }
  });
  charts();
  if ("live" in document.body.dataset) {
    listen();
    addEventListener("pageshow", (e) => { if (e.persisted) { listen(); changed(); } });
  }
})();
