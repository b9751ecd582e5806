// Two arms over each other, drawn on the axes of the grid: the first solid and filled, the second dashed and hollow.
(() => {
  const form = document.getElementById("over");
  if (!form) return;
  const cell = document.getElementById("over-cell"), ends = document.getElementById("over-ends");
  const space = document.querySelector("svg")?.namespaceURI;
  const W = 760, H = 300, left = 44, right = 10, top = 20, bottom = 26, gateW = 34, probeW = 170;

  async function read() {
    const bytes = Uint8Array.from(atob(document.getElementById("block-curves").textContent), (c) => c.charCodeAt(0));
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(plain).text());
  }
  let data;

  function svg(data) {
    const root = document.createElementNS(space, "svg");
    root.setAttribute("viewBox", "0 0 " + W + " " + H);
    root.setAttribute("aria-hidden", "true");
    const put = (tag, attrs, text) => {
      const el = document.createElementNS(space, tag);
      for (const [k, v] of Object.entries(attrs)) el.setAttribute(k, v);
      if (text !== undefined) el.textContent = text;
      root.append(el);
      return el;
    };
    const y = (r) => top + (1 - r) * (H - top - bottom);
    const end = data.probe > 0 ? W - right - probeW - 10 : W - right;
    const log = (from, to, most) => (s) => from + (to - from) * Math.log1p(s) / Math.log1p(Math.max(1, most));
    const at = [() => left + gateW / 2, log(left + gateW + 14, end - 8, data.step), log(W - right - probeW + 10, W - right - 8, data.probe)];
    const box = (cls, x, w) => put("rect", { class: "f-" + cls, x, y: top - 2, width: w, height: H - top - bottom + 4 });
    const say = (x, yy, text, anchor) => put("text", { class: "f-label", x, y: yy, "font-size": 11, "text-anchor": anchor ?? "middle" }, text);
    box("gatebg", left, gateW);
    say(left + gateW / 2, top - 6, "gate");
    say((left + gateW + end) / 2, top - 6, "intervention, steps");
    if (data.probe > 0) {
      box("probebg", W - right - probeW, probeW);
      say(W - right - probeW / 2, top - 6, "relapse");
    }
    for (const r of [0, 0.25, 0.5, 0.75, 1]) {
      put("path", { class: r === 0 ? "f-axis" : "f-grid", d: "M" + left + " " + y(r) + "H" + (W - right) });
      say(left - 5, y(r) + 4, r === 1 ? "100 %" : String(100 * r), "end");
    }
    put("path", { class: "f-level", d: "M" + left + " " + y(data.removed) + "H" + (W - right) });
    for (const [phase, most] of [[1, data.step], [2, data.probe]]) {
      if (most <= 0) continue;
      const ticks = [0];
      for (let s = 4; s < most; s *= 4) if (at[phase](most) - at[phase](s) > 34 && at[phase](s) - at[phase](ticks.at(-1)) > 22) ticks.push(s);
      for (const s of [...ticks, most]) say(at[phase](s), H - 8, String(s));
    }
    return { root, put, y: (parts) => y(parts / 10000), at };
  }

  function one({ put, y, at }, arm, measure, cls) {
    const points = arm.points.filter((p) => p.m === measure);
    for (const phase of [1, 2]) {
      const s = points.filter((p) => p.p === phase).sort((a, b) => a.s - b.s);
      if (s.length < 2) continue;
      const path = (of) => of.map(([x, v]) => x.toFixed(1) + " " + y(v).toFixed(1)).join("L");
      put("path", { class: "f-" + cls + "B", d: "M" + path([...s.map((p) => [at[phase](p.s), p.h]), ...[...s].reverse().map((p) => [at[phase](p.s), p.l])]) + "Z" });
      put("path", { class: "f-" + cls, d: "M" + path(s.map((p) => [at[phase](p.s), p.r])) });
    }
    for (const p of points) {
      const x = at[p.p](p.s), yy = y(p.r), r = 3.4;
      const d = cls === "armA" ? "M" + (x - r) + " " + yy + "a" + r + " " + r + " 0 1 0 " + 2 * r + " 0a" + r + " " + r + " 0 1 0 " + -2 * r + " 0z" :
        "M" + (x - r) + " " + (yy - r) + "h" + 2 * r + "v" + 2 * r + "h" + -2 * r + "z";
      put("path", { class: "f-" + cls + "M", d, ...(p.ref ? { "data-p": p.ref } : {}) });
    }
    const last = points.filter((p) => p.p === 1).sort((a, b) => a.s - b.s).at(-1);
    const percent = (v) => (v / 100).toFixed(1) + " %";
    return arm.name + ": " + (last ? percent(last.r) + " (" + percent(last.l) + " to " + percent(last.h) + ") at step " + last.s : "not measured");
  }

  async function draw() {
    try {
      data ??= await read();
      const measure = form.elements.measure.selectedIndex, canvas = svg(data);
      const said = ["a", "b"].map((name, i) => one(canvas, data.arms[form.elements[name].selectedIndex], measure, i === 0 ? "armA" : "armB"));
      cell.replaceChildren(canvas.root);
      cell.setAttribute("aria-label", form.elements.measure.value + ". " + said.join(". "));
      [...ends.querySelectorAll("span")].forEach((el, i) => { el.textContent = said[i]; });
    } catch (err) {
      ends.textContent = "These curves cannot be read: " + err.message;
    }
  }
  form.elements.b.selectedIndex = 1;
  form.addEventListener("input", draw);
  form.addEventListener("submit", (e) => e.preventDefault());
  document.getElementById("overlay").hidden = false;
  draw();
})();
