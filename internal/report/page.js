"use strict";
// The page works without this script; it adds the transcripts, which lie compressed in script elements that never run.
(() => {
  const $ = (id) => document.getElementById(id);
  const viewer = $("viewer"), list = $("samples"), note = $("viewer-note");
  const blocks = new Map();
  let current = null, show = "all", wanted = "";

  async function read(id) {
    const el = $("block-" + id);
    if (!el) throw new Error("the page holds no transcripts of this");
    const bytes = Uint8Array.from(atob(el.textContent), (c) => c.charCodeAt(0));
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(plain).text());
  }
  function block(id) {
    if (!blocks.has(id)) blocks.set(id, read(id));
    return blocks.get(id);
  }

  // Text of models reaches the page here and nowhere else: as text.
  function add(parent, tag, cls, text) {
    const el = document.createElement(tag);
    el.className = cls;
    el.textContent = text;
    parent.append(el);
    return el;
  }
  function draw() {
    const { prompts, data, point } = current;
    list.replaceChildren();
    const holds = (r) => wanted === "" || prompts[r[0]].toLowerCase().includes(wanted) || data.texts[r[1]].toLowerCase().includes(wanted);
    const rows = point.rows.filter((r) => (show === "all" || (r[2] === 1) === (show === "hit")) && holds(r));
    for (const [prompt, response, hit, reason] of rows) {
      const el = add(list, "div", hit ? "sample hit" : "sample", "");
      add(el, "span", "tag", (hit ? "hit" : "miss") + (reason >= 0 ? ": " + data.texts[reason] : ""));
      add(el, "pre", "p", prompts[prompt]);
      add(el, "pre", "r", data.texts[response] === "" ? "(empty)" : data.texts[response]);
    }
    const all = point.of === 0 ? "No generations are stored for this point." :
      point.rows.length < point.of ? "The page carries " + point.rows.length + " of " + point.of + " generations; the store holds all." :
      point.of + " generations.";
    note.textContent = all + (show === "all" && wanted === "" ? "" : " Showing " + rows.length + ".");
    list.scrollTop = 0;
  }
  async function open(ref) {
    const [id, index] = ref.split(".");
    if (!viewer.open) viewer.showModal();
    $("viewer-title").textContent = "…";
    list.replaceChildren();
    try {
      const [prompts, data] = await Promise.all([block("prompts"), block(id)]);
      current = { id, index: +index, prompts, data, point: data.points[+index] };
      $("viewer-title").textContent = current.point.title;
      $("viewer-rate").textContent = current.point.rate;
      history.replaceState(null, "", "#p=" + ref);
      draw();
    } catch (err) {
      current = null;
      note.textContent = "These transcripts cannot be read: " + err.message;
    }
  }

  // The neighbour of a point is the next one of the same suite and phase: its title differs in the step alone.
  function neighbour(by) {
    if (!current) return;
    const kind = (t) => t.replace(/ step \d+ · /, " · ");
    const want = kind(current.point.title);
    const points = current.data.points;
    for (let i = current.index + by; i >= 0 && i < points.length; i += by) {
      if (kind(points[i].title) === want) return void open(current.id + "." + i);
    }
  }

  const marks = (cell) => [...cell.querySelectorAll("[data-p]")];
  const centre = (el) => {
    const r = el.getBoundingClientRect();
    return [r.left + r.width / 2, r.top + r.height / 2];
  };
  function nearest(cell, x, y, within) {
    let best = null, least = within * within;
    for (const m of marks(cell)) {
      const [mx, my] = centre(m);
      const d = (mx - x) ** 2 + (my - y) ** 2;
      // Marks drawn later lie on top: among equals the last wins.
      if (d <= least) [best, least] = [m, d];
    }
    return best;
  }

  // Arrow keys walk a panel's points from left to right, and up and down through those above one another.
  async function choose(cell, mark) {
    for (const m of cell.querySelectorAll(".on")) m.classList.remove("on");
    cell.querySelector(".tip")?.remove();
    if (!mark) return;
    mark.classList.add("on");
    const tip = add(cell, "div", "tip", "");
    tip.setAttribute("role", "status");
    const [id, index] = mark.dataset.p.split(".");
    const point = (await block(id)).points[+index];
    const more = covered(cell, mark).length - 1;
    tip.textContent = point.title.split(" · ").slice(1).join(" · ") + ": " + point.rate + (more > 0 ? "; " + more + " more here" : "");
  }
  function walk(cell, key) {
    const all = marks(cell);
    const at = all.find((m) => m.classList.contains("on"));
    if (!at) return all[all.length - 1];
    const [x, y] = centre(at);
    const across = key === "ArrowLeft" || key === "ArrowRight";
    const sign = key === "ArrowRight" || key === "ArrowDown" ? 1 : -1;
    let best = at, least = Infinity;
    for (const m of all) {
      const [mx, my] = centre(m);
      const ahead = sign * (across ? mx - x : my - y), aside = Math.abs(across ? my - y : mx - x);
      const d = ahead + (across ? 0.3 : 4) * aside;
      if (ahead > 0.5 && d < least) [best, least] = [m, d];
    }
    return best;
  }

  // Marks that cover each other cannot be told apart by a click: a list of them opens, the uppermost first.
  const covered = (cell, mark) => {
    const [x, y] = centre(mark);
    const refs = marks(cell).filter((m) => Math.hypot(centre(m)[0] - x, centre(m)[1] - y) < 4).map((m) => m.dataset.p);
    return [...new Set(refs.reverse())];
  };
  function unstack() {
    document.getElementById("stack")?.remove();
  }
  async function pick(cell, mark) {
    unstack();
    const refs = covered(cell, mark);
    if (refs.length === 1) return void open(refs[0]);
    const [x, y] = centre(mark);
    const menu = add(document.body, "div", "stack", "");
    menu.id = "stack";
    menu.setAttribute("role", "group");
    menu.setAttribute("aria-label", "Points at this place");
    for (const ref of refs) {
      const [id, index] = ref.split("."), button = add(menu, "button", "", "…");
      button.dataset.p = ref;
      try {
        const point = (await block(id)).points[+index];
        button.textContent = point.title + ": " + point.rate;
      } catch (err) {
        button.textContent = err.message;
      }
    }
    const room = document.documentElement.clientWidth - menu.offsetWidth - 8;
    menu.style.left = Math.max(4, Math.min(x, room)) + scrollX + "px";
    menu.style.top = y + 8 + scrollY + "px";
    menu.addEventListener("keydown", (e) => {
      if (e.key === "Escape") { unstack(); cell.focus(); }
    });
    menu.querySelector("button").focus({ preventScroll: true });
  }

  document.addEventListener("click", (e) => {
    const at = e.target.closest("[data-p]"), cell = e.target.closest(".cell");
    if (at && !cell) {
      unstack();
      return void open(at.dataset.p);
    }
    const near = cell && (at || nearest(cell, e.clientX, e.clientY, 24));
    if (near) return void pick(cell, near);
    unstack();
    const filter = e.target.closest("[data-show]");
    if (filter) {
      show = filter.dataset.show;
      for (const b of document.querySelectorAll("[data-show]")) b.setAttribute("aria-pressed", String(b === filter));
      if (current) draw();
    }
    if (e.target === viewer) viewer.close();
  });
  document.addEventListener("keydown", (e) => {
    const cell = e.target.classList?.contains("cell") && marks(e.target).length > 0 ? e.target : null;
    if (!cell) return;
    if (e.key.startsWith("Arrow")) {
      e.preventDefault();
      choose(cell, walk(cell, e.key));
    } else if (e.key === "Enter") {
      const on = cell.querySelector(".on") || walk(cell, "");
      if (on) pick(e.target, on);
    } else if (e.key === "Escape") {
      choose(cell, null);
    }
  });
  document.addEventListener("mousemove", (e) => {
    const cell = e.target.closest?.(".cell");
    for (const old of document.querySelectorAll(".cell:has(.tip)")) if (old !== cell && old !== document.activeElement) choose(old, null);
    if (!cell) return;
    const near = nearest(cell, e.clientX, e.clientY, 16);
    if (!near || !near.classList.contains("on")) choose(cell, near);
  });
  viewer.addEventListener("close", () => {
    if (location.hash.startsWith("#p=")) history.replaceState(null, "", location.pathname + location.search);
  });
  $("close").addEventListener("click", () => viewer.close());
  $("before").addEventListener("click", () => neighbour(-1));
  $("after").addEventListener("click", () => neighbour(1));

  $("search").addEventListener("input", (e) => {
    wanted = e.target.value.toLowerCase();
    if (current) draw();
  });

  // The filter hides arms, and with them the rows, columns and cells that have no other.
  const form = $("filter");
  if (form) {
    const arms = [...document.querySelectorAll("#arms .arm")].map((el) => ({ el, id: el.id, name: el.querySelector("summary b").textContent.toLowerCase(), f: JSON.parse(el.dataset.f) }));
    const cells = [...document.querySelectorAll(".grid tbody td")].map((el) => ({ el, arms: [...el.querySelectorAll("a.chip")].map((a) => [a, decodeURIComponent(a.hash.slice(1))]) }));
    const rows = [...document.querySelectorAll(".grid tbody tr")], heads = [...document.querySelectorAll(".grid thead th")];
    const found = [...document.querySelectorAll(".findings tbody tr[data-arms]")].map((el) => ({ el, arms: el.dataset.arms.split(" ").filter(Boolean) }));
    const apply = () => {
      const want = [...new FormData(form)].filter(([, v]) => v !== "");
      const shown = new Set();
      for (const a of arms) {
        const on = want.every(([k, v]) => k === "text" ? a.name.includes(v.toLowerCase()) : a.f[k] === v);
        a.el.hidden = !on;
        if (on) shown.add(a.id);
      }
      const filtered = want.length > 0;
      for (const c of cells) {
        for (const [chip, id] of c.arms) chip.hidden = !shown.has(id);
        c.el.classList.toggle("off", filtered && !c.arms.some(([, id]) => shown.has(id)));
      }
      for (const r of rows) r.hidden = filtered && [...r.querySelectorAll("td")].every((td) => td.classList.contains("off"));
      heads.forEach((th, i) => {
        const off = filtered && rows.every((r) => r.querySelectorAll("td")[i]?.classList.contains("off") ?? true);
        th.hidden = off;
        for (const r of rows) { const td = r.querySelectorAll("td")[i]; if (td) td.hidden = off; }
      });
      for (const r of found) r.el.hidden = filtered && !r.arms.some((id) => shown.has(id));
      form.querySelector("output").textContent = filtered ? shown.size + " of " + arms.length + " arms" : arms.length + " arms";
    };
    form.addEventListener("input", apply);
    form.addEventListener("reset", () => setTimeout(apply));
    form.addEventListener("submit", (e) => e.preventDefault());
    form.hidden = false;
    apply();
  }

  // A click on a heading of the findings sorts by its column, a second one the other way.
  for (const th of document.querySelectorAll(".findings thead th")) {
    const button = document.createElement("button");
    button.className = "sort";
    button.append(...th.childNodes);
    th.append(button);
    button.addEventListener("click", () => {
      const up = th.getAttribute("aria-sort") !== "ascending";
      for (const other of th.parentNode.children) other.removeAttribute("aria-sort");
      th.setAttribute("aria-sort", up ? "ascending" : "descending");
      const at = th.cellIndex, body = document.querySelector(".findings tbody");
      const value = (tr) => (tr.cells[at]?.textContent ?? "").replace("−", "-").trim();
      const rows = [...body.rows].sort((a, b) => (up ? 1 : -1) * value(a).localeCompare(value(b), undefined, { numeric: true }));
      body.append(...rows);
    });
  }

  // A click on a series of the legend takes it off the curves, or puts it on again.
  for (const el of document.querySelectorAll("[data-series]")) {
    el.tabIndex = 0;
    el.setAttribute("role", "switch");
    el.setAttribute("aria-checked", "true");
    const flip = () => {
      const off = document.body.classList.toggle("no-" + el.dataset.series);
      el.setAttribute("aria-checked", String(!off));
    };
    el.addEventListener("click", flip);
    el.addEventListener("keydown", (e) => {
      if (e.key === "Enter" || e.key === " ") { e.preventDefault(); flip(); }
    });
  }

  // A link to an arm opens it.
  function reveal() {
    const ref = /^#p=([ao]\d+\.\d+)$/.exec(location.hash)?.[1];
    if (ref && !viewer.open) return void open(ref);
    const el = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (el instanceof HTMLDetailsElement) {
      el.open = true;
      el.scrollIntoView();
    }
  }
  // On paper an arm's reasons are read or lost; a study of hundreds of arms would fill a book, and keeps them folded.
  let unfolded = [];
  addEventListener("beforeprint", () => {
    const closed = [...document.querySelectorAll(".arm:not([open])")];
    unfolded = document.querySelectorAll(".arm").length > 60 ? [] : closed;
    for (const el of unfolded) el.open = true;
  });
  addEventListener("afterprint", () => {
    for (const el of unfolded) el.open = false;
  });
  addEventListener("hashchange", reveal);
  reveal();
})();
