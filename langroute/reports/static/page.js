"use strict";
// The page's own program: filters the sums it was given, and draws them with Observable Plot.
(() => {
  const $ = (id) => document.getElementById(id);
  let data = JSON.parse($("data").textContent);
  let spendersBy = "team", list = "worst", shown = null, timer = null, lost = false;
  const NONE = "(none)";

  // Words -------------------------------------------------------------------------------------------------------------
  const count = d3.format(",");
  const usd = (x) => {
    if (x == null) return "unknown";
    const a = Math.abs(x), sign = x < 0 ? "−" : "";
    if (a === 0) return "$0";
    if (a >= 1e6) return sign + "$" + d3.format(",.2f")(a / 1e6) + "M";
    if (a >= 10000) return sign + "$" + d3.format(",.0f")(a);
    if (a >= 1) return sign + "$" + d3.format(",.2f")(a);
    return sign + "$" + fixed(a, digits(a)).replace(/(\.\d\d+?)0+$/, "$1");
  };
  // Three significant digits, two decimals at least: so many decimals. A sum that ends in a half is rounded up, as elsewhere.
  const digits = (a) => Math.max(2, Math.min(12, 2 - Math.floor(Math.log10(a))));
  const fixed = (a, decimals) => d3.format(`,.${decimals}f`)(a * (1 + 1e-12));
  // Amounts of one column have the same decimals, so that they can be compared by eye: one more than the largest needs, if any needs it.
  const column = (amounts) => {
    const [smallest, largest] = d3.extent(amounts.filter(Boolean), Math.abs);
    if (!largest || largest >= 10000) return usd;
    let decimals = Math.min(12, digits(largest) + (digits(smallest) > digits(largest) ? 1 : 0));
    while (decimals > 2 && amounts.every((x) => fixed(Math.abs(x ?? 0), decimals).endsWith("0"))) decimals--;
    const least = 0.5 * 10 ** -decimals;
    return (x) => (!x ? usd(x) : Math.abs(x) < least ? "<$" + fixed(2 * least, decimals) : (x < 0 ? "−$" : "$") + fixed(Math.abs(x), decimals));
  };
  const tick = (x) => "$" + d3.format(Math.abs(x) >= 1000 ? ",.0f" : "~g")(x);
  const atLeast = (x, unknown, word = usd) => (x == null || (unknown && !x) ? "unknown" : (unknown ? "≥ " : "") + word(x));
  const percent = (x, d = 0) => (x == null ? "unknown" : (x * 100).toFixed(d) + " %");
  const seconds = (s) => (s == null ? "" : s < 1 ? Math.round(s * 1000) + " ms" : s < 60 ? s.toFixed(1) + " s" : s < 3600 ? Math.floor(s / 60) + " min " + Math.round(s % 60) + " s" : (s / 3600).toFixed(1) + " h");
  const moment = (t) => new Date(t * 1000).toISOString().slice(0, 16).replace("T", " ") + " UTC";
  const tierColor = (tier) => `var(--${data.known_tiers.includes(tier) ? tier : "other"})`;
  const short = (name) => (name.length > 20 ? name.slice(0, 19) + "…" : name);
  const plural = (n, word, many = word + "s") => `${count(n)} ${n === 1 ? word : many}`;

  // Elements ----------------------------------------------------------------------------------------------------------
  const el = (name, attributes = {}, ...children) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (value === true) node.setAttribute(key, "");
      else if (value != null && value !== false) node.setAttribute(key, value);
    }
    node.append(...children.filter((child) => child != null));
    return node;
  };
  const swatch = (tier) => el("i", { class: "tier", style: `background:${tierColor(tier)}`, "aria-hidden": "true" });
  const table = (head, rows, label) =>
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
      el("table", { class: head.length < 4 ? "few" : head.length > 5 ? "many" : null },
        el("thead", {}, el("tr", {}, ...head.map(([name, numeric]) => el("th", { scope: "col", class: numeric ? "n" : null }, name)))),
        el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((cell, i) =>
          el(i === 0 ? "th" : "td", { scope: i === 0 ? "row" : null, class: head[i][1] ? "n" : null, style: i === 0 ? "font-weight:500" : null }, cell ?? "")))))));
  const asTable = (head, rows, label) => el("details", {}, el("summary", {}, "The same as a table"), table(head, rows, label));
  const card = (id, title, note, ...children) => {
    const open = $(id).querySelector("details")?.open;
    $(id).replaceChildren(el("div", { class: "top" }, el("h2", {}, title)), note ? el("p", { class: "note" }, note) : "", ...children.filter(Boolean));
    const details = $(id).querySelector("details");
    if (open && details) details.open = true;
  };
  const empty = (text) => el("p", { class: "empty" }, text);
  const width = (id) => Math.max(260, Math.floor($(id).clientWidth - parseFloat(getComputedStyle($(id)).paddingLeft) * 2));
  const legend = (tiers) => el("ul", { class: "legend" }, ...tiers.map((tier) => el("li", {}, el("i", { style: `background:${tierColor(tier)}`, "aria-hidden": "true" }), tier)));
  const draw = (label, options) => {
    const made = Plot.plot({ style: { background: "none", fontSize: "12px", color: "var(--soft)", fontFamily: "inherit" }, ...options });
    const svg = made.tagName.toLowerCase() === "svg" ? made : made.querySelector("svg");
    // One picture with one name: what is in it stands in the table below it.
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
    svg.querySelectorAll("[aria-label]").forEach((inner) => inner.removeAttribute("aria-label"));
    return el("figure", { class: "plot" }, made);
  };

  // Names beside dots, each where it covers neither a dot nor another name, if there is such a place.
  const beside = (rows, options, x, y, name) => {
    const drawn = Plot.plot(options), left = drawn.scale("x"), up = drawn.scale("y");
    const dots = rows.map((row) => [left.apply(row[x]) - 9, up.apply(row[y]) - 9, left.apply(row[x]) + 9, up.apply(row[y]) + 9]);
    const places = [[12, -13, "start"], [12, 13, "start"], [-12, -13, "end"], [-12, 13, "end"], [15, 0, "start"], [-15, 0, "end"]];
    const taken = [...dots], texts = places.map(() => []);
    for (const row of rows) {
      const cx = left.apply(row[x]), cy = up.apply(row[y]), long = row[name].length * 7;
      const boxes = places.map(([dx, dy, side]) => [side === "start" ? cx + dx : cx + dx - long, cy + dy - 7, side === "start" ? cx + dx + long : cx + dx, cy + dy + 7]);
      const covers = (box) => d3.sum(taken, (other) => (box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3] ? 1 : 0)) + (box[0] < 40 || box[2] > options.width ? 3 : 0);
      const best = d3.minIndex(boxes, covers);
      taken.push(boxes[best]);
      texts[best].push(row);
    }
    return places.map(([dx, dy, textAnchor], i) => Plot.text(texts[i], { x, y, text: name, dx, dy, textAnchor, fill: "var(--ink)", stroke: "var(--card)", strokeWidth: 3 }));
  };

  // Filters -----------------------------------------------------------------------------------------------------------
  const chosen = () => ({ team: $("team").value, kind: $("kind").value, time: $("time").value });
  const fill = (id, all, names, values) => {
    const before = $(id).value;
    $(id).replaceChildren(el("option", { value: "" }, all), ...names.map((name, i) => el("option", { value: values ? values[i] : i }, name)));
    if ([...$(id).options].some((option) => option.value === before)) $(id).value = before;
  };
  const passing = () => {
    const { team, kind, time } = chosen();
    const from = time ? Math.max(0, data.points.length - +time) : 0;
    return { from, keep: (row) => row[0] >= from && (team === "" || row[1] === +team) && (kind === "" || row[2] === +kind) };
  };
  // A single day is shown among those around it, not blown up to the whole width.
  const spanFrom = (from) => {
    const end = d3.utcDay.offset(new Date(data.points.at(-1)), data.grain_days), start = new Date(data.points[from]);
    return [d3.min([start, d3.utcDay.offset(end, -14)]), end];
  };
  // Success rates and their intervals were computed for every selection: succeeded, with an outcome, low, high.
  const selected = (kind = chosen().kind) => `${chosen().team}|${kind}|${chosen().time}`;
  const rateOf = (key) => data.success.rates[key] ?? [0, 0, 0, 1];
  const total = (rows, index) => d3.sum(rows, (row) => row[index]);

  // The parts of the page -----------------------------------------------------------------------------------------------
  function figures(tasks, calls, saving, decided) {
    const spend = total(calls, 5), unknown = total(calls, 6), made = total(calls, 4);
    const [won, told, low, high] = rateOf(selected());
    const known = total(tasks, 7), gone = total(tasks, 8);
    const compared = total(saving, 3), saved = total(saving, 4) - total(saving, 5) - total(saving, 6);
    const hours = total(tasks, 9) / 60, baselines = total(tasks, 10), all = total(tasks, 3);
    const one = (id, name, value, note) => el("div", { class: "figure", id }, el("h2", {}, name), el("p", { class: /^[a-z]/.test(value) ? "value" : "value number" }, value), el("p", { class: "note" }, note));
    // Where baselines are known for some decisions only, those may be the ones that could not save.
    const part = compared && compared < decided ? `; known for ${count(compared)} of ${count(decided)} decisions` : "";
    const nothingKnown = unknown && unknown >= made && !spend;
    $("figures").replaceChildren(
      one("f-spend", "Spend", nothingKnown ? "unknown" : atLeast(spend, unknown), unknown ? `${plural(unknown, "call")} without a known price` : `${plural(made, "model call")}`),
      one("f-tasks", "Tasks", count(all), `${count(told)} with an outcome`),
      one("f-success", "Success", told ? percent(won / told) : "not told", told ? `95 % interval ${(low * 100).toFixed(0)}–${percent(high)}` : "no outcome yet"),
      one("f-per", "Per successful task", won && !(nothingKnown) ? atLeast(known / won, gone) : "unknown", won ? "with failures and retries" : "nothing has succeeded yet"),
      one("f-saved", "Saved by routing", compared ? usd(saved) : "unknown", compared ? `${percent(Math.abs(saved) / (total(saving, 4) || 1))} ${saved < 0 ? "more" : "less"} than ${data.savings.baselines.join(" or ") || "the baseline"} alone${part}` : "nothing to compare with"),
      one("f-hours", "Hours saved", baselines ? d3.format(",.1f")(hours) : "not declared", baselines ? `${plural(baselines, "task")} with a baseline` : "no baseline was declared"),
    );
  }

  function spendOverTime(calls, from) {
    const sums = d3.rollup(calls, (rows) => [total(rows, 5), total(rows, 6)], (r) => r[0], (r) => data.places[r[3]].tier);
    const rows = [];
    for (const [point, byTier] of sums) for (const [tier, [value, unknown]] of byTier) rows.push({ date: new Date(data.points[point]), tier, usd: value, unknown });
    const grain = { 1: "day", 7: "week", 28: "four weeks", 3650: "all of it" }[data.grain_days];
    if (!rows.length) return card("spend", "Spend over time", null, empty(data.calls.length ? "No calls in this selection." : "No calls were recorded in this time. A router keeps them where it is given a ledger: ChatRouter(routes, ledger=\"ledger.db\")."));
    const tiers = data.tiers.filter((tier) => rows.some((row) => row.tier === tier));
    const span = spanFrom(from);
    const whole = d3.sum(rows, (r) => r.usd), unpriced = d3.sum(rows, (r) => r.unknown);
    // A few days are bars beside a day's mark, not blocks as wide as a day.
    const days = Math.max(1, d3.utcDay.count(...span) / data.grain_days), wide = (width("spend") - 64) / days;
    const inset = Math.max(.5, (wide - 32) / 2);
    const figure = draw(`Spend for each ${grain}, by tier. The whole is ${atLeast(whole, unpriced)}.`, {
      width: width("spend"), height: 240, marginLeft: 56, marginRight: 8,
      x: { type: "utc", domain: span, label: null }, y: { label: "USD", grid: true, tickFormat: tick, nice: true, ticks: 5, ...(whole ? {} : { domain: [0, 1] }) },
      marks: [
        Plot.rectY(rows, Plot.stackY({ x1: (d) => d.date, x2: (d) => d3.utcDay.offset(d.date, data.grain_days), y: "usd", fill: (d) => tierColor(d.tier), order: (d) => tiers.indexOf(d.tier), insetLeft: inset, insetRight: inset })),
        Plot.ruleY([0], { stroke: "var(--line)" }),
        Plot.tip(rows, Plot.pointerX(Plot.stackY({ x: (d) => d3.utcHour.offset(d.date, data.grain_days * 12), y: "usd", order: (d) => tiers.indexOf(d.tier), title: (d) => `${d.date.toISOString().slice(0, 10)}\n${d.tier}: ${atLeast(d.usd, d.unknown)}` }))),
      ],
    });
    const money = column(rows.map((row) => row.usd));
    const perPoint = [...sums].sort((a, b) => d3.descending(a[0], b[0])).map(([point, byTier]) => [data.points[point], ...tiers.map((tier) => atLeast((byTier.get(tier) || [0, 0])[0], (byTier.get(tier) || [0, 0])[1], money))]);
    card("spend", "Spend over time", `For each ${grain}, by tier.${unpriced ? ` Not drawn: ${plural(unpriced, "call")} without a known price.` : ""}`, legend(tiers), figure, asTable([["From"], ...tiers.map((tier) => [tier, true])], perPoint, "Spend over time"));
  }

  function successOverTime(from) {
    const [together, series] = data.success.series[selected()] ?? [1, []];
    const rows = series.map(([point, won, of, low, high]) => ({ date: new Date(data.points[point]), won, of, share: won / of, low, high }));
    if (!rows.length) return card("success", "Success over time", null, empty("No outcome was told in this selection."));
    const figure = draw(`Success rate over time, with its 95 % interval. The last is ${percent(rows.at(-1).share)}.`, {
      width: width("success"), height: 270, marginLeft: 48, marginTop: 24, x: { type: "utc", domain: spanFrom(from), label: null, ticks: 5 },
      y: { domain: [Math.max(0, Math.floor((d3.min(rows, (r) => r.low) - 0.02) * 10) / 10), 1], label: null, tickFormat: (x) => percent(x), grid: true, ticks: 5 },
      marks: [
        rows.length > 1 ? Plot.areaY(rows, { x: "date", y1: "low", y2: "high", fill: "var(--band)" }) : Plot.ruleX(rows, { x: "date", y1: "low", y2: "high", stroke: "var(--accent)", strokeWidth: 2 }),
        Plot.lineY(rows, { x: "date", y: "share", stroke: "var(--accent)", strokeWidth: 2 }),
        rows.length < 40 ? Plot.dot(rows, { x: "date", y: "share", fill: "var(--accent)", r: 3 }) : null,
        Plot.tip(rows, Plot.pointerX({ x: "date", y: "share", title: (d) => `${d.date.toISOString().slice(0, 10)}\n${percent(d.share)} of ${d.of} (${percent(d.low)} to ${percent(d.high)})` })),
      ],
    });
    card("success", "Success over time", `Share of tasks with an outcome that succeeded; the band is its 95 % interval.${together * data.grain_days > 1 ? ` A point is ${together * data.grain_days} days.` : ""}`, figure,
      asTable([["From"], ["Succeeded", true], ["Told", true], ["Rate", true], ["95 % interval", true]], rows.slice().reverse().map((r) => [r.date.toISOString().slice(0, 10), count(r.won), count(r.of), percent(r.share), `${percent(r.low)} to ${percent(r.high)}`]), "Success over time"));
  }

  function quality(tasks) {
    const rows = [...d3.rollup(tasks, (r) => ({ n: total(r, 3), usd: total(r, 7), unknown: total(r, 8) }), (r) => r[2])]
      .map(([kind, r]) => { const [won, of, low, high] = rateOf(selected(kind)); return { kind: data.kinds[kind], ...r, won, of, name: short(data.kinds[kind]), share: of ? won / of : null, low, high, per: won ? r.usd / won : null }; })
      .sort((a, b) => d3.descending(a.per ?? Infinity, b.per ?? Infinity));
    if (!rows.length) return card("quality", "Cost and quality by task kind", null, empty("No tasks in this selection."));
    const told = rows.filter((r) => r.of && r.per > 0), left = rows.filter((r) => r.of && !(r.per > 0));
    const nowhere = (why, which) => { const names = left.filter(which).map((r) => r.name); return names.length ? ` Not drawn, because ${why}: ${names.join(", ")}.` : ""; };
    const w = width("quality"), wide = told.length > 1 && d3.max(told, (r) => r.per) / d3.min(told, (r) => r.per) > 12;
    const options = {
      width: w, height: 270, marginLeft: 48, marginRight: 76, marginTop: 24, marginBottom: 40,
      x: { type: wide ? "log" : "linear", label: "USD per successful task", labelOffset: 36, tickFormat: tick, grid: true, nice: true, zero: !wide, ticks: Math.max(3, w / 120) },
      y: { domain: [Math.max(0, Math.floor((d3.min(told, (r) => r.low) - 0.02) * 10) / 10), 1], label: null, tickFormat: (x) => percent(x), grid: true, ticks: 5 },
      r: { range: [4, 15] },
    };
    const marks = [
      Plot.ruleX(told, { x: "per", y1: "low", y2: "high", stroke: "var(--accent)", strokeWidth: 1.5, strokeOpacity: .6 }),
      Plot.dot(told, { x: "per", y: "share", r: "n", fill: "var(--accent)", fillOpacity: .75, stroke: "var(--card)" }),
    ];
    const figure = told.length ? draw(`Cost per successful task and success rate of ${plural(told.length, "task kind")}.`, {
      ...options,
      marks: [
        ...marks,
        ...beside(told, { ...options, marks }, "per", "share", "name"),
        Plot.tip(told, Plot.pointer({ x: "per", y: "share", title: (d) => `${d.kind}\n${atLeast(d.per, d.unknown)} per successful task\n${percent(d.share)} of ${d.of} succeeded (${percent(d.low)} to ${percent(d.high)})` })),
      ],
    }) : empty("No task kind has both an outcome and a known cost.");
    card("quality", "Cost and quality by task kind", "Up and to the left is better. Bars are 95 % intervals, dots grow with the number of tasks." + nowhere("no task succeeded", (r) => !r.won) + nowhere("no cost is known", (r) => r.won && r.unknown) + nowhere("they cost nothing", (r) => r.won && !r.unknown), figure,
      asTable([["Task kind"], ["Tasks", true], ["Success", true], ["95 % interval", true], ["Per successful task", true]], rows.map((r) => [r.kind, count(r.n), r.of ? percent(r.share) : "not told", r.of ? `${percent(r.low)} to ${percent(r.high)}` : "", atLeast(r.per, r.unknown)]), "Cost and quality by task kind"));
  }

  function whereStepsGo(decisions) {
    const sums = d3.rollup(decisions, (r) => total(r, 5), (r) => data.steps[r[3]], (r) => r[4]);
    const all = d3.sum(decisions, (r) => r[5]);
    if (!all) return card("steps", "Where steps go", null, empty("No decision of a router in this selection."));
    const tiers = data.tiers.filter((tier) => [...sums.values()].some((row) => row.has(tier)));
    const rows = [];
    for (const [step, byTier] of sums) {
      const of = d3.sum(byTier.values());
      for (const tier of tiers) rows.push({ step, tier, n: byTier.get(tier) || 0, of, share: (byTier.get(tier) || 0) / of });
    }
    const order = [...sums].sort((a, b) => d3.descending(d3.sum(a[1].values()), d3.sum(b[1].values()))).map(([step]) => step);
    const figure = draw(`Which kind of step goes to which tier, ${plural(all, "decision")} together.`, {
      width: width("steps"), height: 42 + order.length * 26, marginLeft: 90, marginTop: 26, marginRight: 64, marginBottom: 4,
      x: { domain: tiers, label: null, axis: "top", tickSize: 0, tickFormat: short }, y: { domain: order, label: null, tickSize: 0 },
      marks: [
        Plot.cell(rows, { x: "tier", y: "step", fill: (d) => tierColor(d.tier), fillOpacity: (d) => (d.n ? 0.12 + 0.5 * d.share : 0.04), inset: 1.5, rx: 4 }),
        Plot.text(rows.filter((r) => r.n), { x: "tier", y: "step", text: (d) => percent(d.share), fill: "var(--ink)" }),
        Plot.axisY({ anchor: "left", domain: order, label: null, tickSize: 0, tickFormat: (step) => (step.length > 13 ? step.slice(0, 12) + "…" : step) }),
        Plot.axisY({ anchor: "right", domain: order, label: null, tickSize: 0, tickFormat: (step) => d3.format(".3~s")(d3.sum(sums.get(step).values())) }),
        Plot.tip(rows, Plot.pointer({ x: "tier", y: "step", title: (d) => `${d.step} to ${d.tier}\n${count(d.n)} of ${count(d.of)} decisions (${percent(d.share, 1)})` })),
      ],
    });
    const escalated = total(decisions, 6), hits = total(decisions, 7);
    card("steps", "Where steps go", `Share of each kind of step by tier; its decisions at the right. ${percent(escalated / all, 1)} were escalated, ${percent(hits / all, 1)} answered from the response cache.${data.decisions_timeless && chosen().time ? " Of the whole time: there are too many to keep by day." : ""}`, figure,
      asTable([["Step"], ...tiers.map((tier) => [tier, true]), ["Decisions", true]], order.map((step) => [step, ...tiers.map((tier) => count(sums.get(step).get(tier) || 0)), count(d3.sum(sums.get(step).values()))]), "Where steps go"));
  }

  function spenders(calls) {
    const names = { team: (r) => data.teams[r[1]], kind: (r) => data.kinds[r[2]], model: (r) => data.places[r[3]].model, route: (r) => data.places[r[3]].route };
    const { team, kind, time } = chosen(), filtered = team !== "" || kind !== "" || time !== "";
    const choices = [["team", "Team"], ["kind", "Task kind"], ["model", "Model"], ["route", "Route"], ...(filtered ? [] : [["user", "User"]])];
    if (spendersBy === "user" && filtered) spendersBy = "team";
    let rows = spendersBy === "user"
      ? data.users.map(([name, value, , unknown]) => ({ name, usd: value, unknown }))
      : [...d3.rollup(calls, (r) => [total(r, 5), total(r, 6)], names[spendersBy])].map(([name, [value, unknown]]) => ({ name, usd: value, unknown }));
    rows = rows.sort((a, b) => d3.descending(a.usd, b.usd));
    const tabs = el("div", { class: "tabs", role: "group", "aria-label": "Top spenders by" }, ...choices.map(([id, name]) =>
      el("button", { type: "button", "aria-pressed": String(spendersBy === id), onclick: () => { spendersBy = id; render(); $("spenders").querySelector('[aria-pressed="true"]').focus(); } }, name)));
    if (!rows.length) return card("spenders", "Top spenders", null, tabs, empty("No spend in this selection."));
    const top = rows.slice(0, 9), money = column(rows.map((r) => r.usd));
    const figure = draw(`Top spenders by ${spendersBy}; first ${top[0].name} with ${usd(top[0].usd)}.`, {
      width: width("spenders"), height: 20 + top.length * 29, marginLeft: 145, marginRight: 84, marginTop: 4, marginBottom: 8,
      x: { axis: null, domain: [0, d3.max(top, (r) => r.usd) || 1] }, y: { domain: top.map((r) => r.name), label: null, tickSize: 0, tickFormat: short },
      marks: [
        Plot.barX(top, { x: "usd", y: "name", fill: spendersBy === "route" || spendersBy === "model" ? (d) => tierColor(data.places.find((p) => p[spendersBy] === d.name)?.tier) : "var(--accent)", fillOpacity: .85, rx2: 4, insetTop: 3, insetBottom: 3 }),
        Plot.text(top, { x: "usd", y: "name", text: (d) => atLeast(d.usd, d.unknown, money), dx: 6, textAnchor: "start", fill: "var(--ink)" }),
      ],
    });
    card("spenders", "Top spenders", null, tabs, figure, asTable([["Name"], ["Spend", true]], rows.map((r) => [r.name, atLeast(r.usd, r.unknown, money)]), "Top spenders"));
  }

  // A mark beside the word: neither colour nor a foreign word alone has to tell.
  const chip = (kind, word) => el("span", { class: `chip ${kind}` }, el("span", { "aria-hidden": "true" }, { good: "✓ ", bad: "✗ ", none: "" }[kind]), word);
  const verdict = (task) => (task.success == null ? (task.state === "error" ? chip("bad", "error") : chip("none", "no outcome")) : task.success ? chip("good", "success") : chip("bad", "failed"));

  function taskLists() {
    const choices = [["worst", "Worst outcomes"], ["slowest", "Slowest"], ["dearest", "Dearest"], ["latest", "Latest"]];
    const { team, kind } = chosen();
    const fits = (task) => task && (team === "" || data.teams[+team] === (task.team || NONE)) && (kind === "" || data.kinds[+kind] === (task.kind || NONE));
    const tasks = data.lists[list].map((id) => data.timelines[id]).filter(fits), money = column(tasks.map((task) => task.usd));
    const tabs = el("div", { class: "tabs", role: "group", "aria-label": "Which tasks" }, ...choices.map(([id, name]) =>
      el("button", { type: "button", "aria-pressed": String(list === id), onclick: () => { list = id; taskLists(); $("tasks").querySelector('[aria-pressed="true"]').focus(); } }, name)));
    const notes = { worst: "Tasks that failed, the dearest first.", slowest: "By the time from first start to last end.", dearest: "By what they cost.", latest: "By when they began." };
    const find = el("form", { class: "find", onsubmit: (event) => { event.preventDefault(); open($("find").value.trim()); } },
      el("label", {}, "Show a task by its id ", el("input", { id: "find", list: "known", autocomplete: "off", size: "28" })), el("button", { type: "submit" }, "Show"),
      el("datalist", { id: "known" }, ...Object.keys(data.timelines).map((id) => el("option", { value: id }))));
    card("tasks", "Tasks", notes[list], tabs,
      tasks.length ? table([["Task"], ["Kind"], ["Team"], ["Outcome"], ["Cost", true], ["Took", true], ["Steps", true], ["Began"]],
        tasks.map((task) => [el("button", { type: "button", class: "link", onclick: () => open(task.id) }, task.id), task.kind || NONE, task.team || NONE, verdict(task), atLeast(task.usd, task.unknown, money), seconds(task.wall_s), count(task.count), moment(task.started)]), "Tasks")
        : empty(list === "worst" ? "No task of this selection failed." : "No task in this selection."), find);
  }

  async function open(id) {
    if (!id) return;
    let task = Object.hasOwn(data.timelines, id) ? data.timelines[id] : null;
    if (!task && data.live) {
      const answer = await fetch("task?id=" + encodeURIComponent(id)).catch(() => null);
      if (answer && answer.ok) task = await answer.json();
    }
    shown = task ? task : { missing: id };
    timeline();
    $("timeline").focus();
    $("timeline").scrollIntoView({ block: "start" });
  }

  function timeline() {
    const ids = data.lists[list];
    const task = shown || data.timelines[data.lists.worst[0]] || data.timelines[ids[0]] || data.timelines[data.lists.latest[0]];
    if (!task) return card("timeline", "One task, step by step", null, empty("No task has been recorded yet."));
    if (task.missing) return card("timeline", "One task, step by step", null, empty(data.live ? `There is no task ${task.missing}.` : `Task ${task.missing} is not among those this file carries; langroute dashboard shows any.`));
    const facts = el("div", { class: "facts" }, el("span", {}, verdict(task)), ...[["kind", task.kind], ["team", task.team], ["user", task.user], ["cost", atLeast(task.usd, task.unknown)], ["took", seconds(task.wall_s)], ["steps", count(task.count)], ["escalations", count(task.escalations)], ["told by", task.source]]
      .filter(([, value]) => value).map(([name, value]) => el("span", {}, name + " ", el("b", {}, value))));
    const rows = task.steps.map((step, i) => ({ ...step, i: i + 1, end: step.at + Math.max(step.s, 0), tier: step.tier || NONE }));
    const long = d3.max(rows, (r) => r.end) || 1, minimum = long / 300;
    const tiers = data.tiers.concat(NONE).filter((tier, i, all) => all.indexOf(tier) === i && rows.some((r) => r.tier === tier));
    const figure = rows.length ? draw(`Steps of task ${task.id} over ${seconds(long)}.`, {
      width: width("timeline"), height: 36 + Math.min(rows.length * 16, 420), marginLeft: 84, marginTop: 4, marginBottom: 28,
      x: { label: null, tickFormat: (x) => (x === 0 ? "0 s" : long < 0.02 ? d3.format(".2~f")(x * 1000) + " ms" : seconds(x)), ticks: Math.max(3, width("timeline") / 110), grid: true, domain: [0, long] }, y: { axis: rows.length > 26 ? null : "left", label: null, tickSize: 0, tickFormat: (i) => `${i} ${rows[i - 1].kind || ""}` },
      marks: [
        Plot.barX(rows, { x1: "at", x2: (d) => Math.max(d.end, d.at + minimum), y: "i", fill: (d) => tierColor(d.tier), fillOpacity: (d) => (d.ok ? .9 : .45), rx: 2, insetTop: 1.5, insetBottom: 1.5 }),
        Plot.tip(rows, Plot.pointerY({ x: (d) => (d.at + d.end) / 2, y: "i", title: (d) => `${d.i}. ${d.kind || "call"} to ${d.route || d.model || NONE}\n${d.why || ""}\n${atLeast(d.usd, 0)}, ${seconds(d.s)}` })),
      ],
    }) : empty("No step of this task is kept any more; its sums are.");
    const why = (step) => {
      const lines = [el("div", {}, step.cache && step.cache.includes("hit") ? `answered from the response cache (${step.cache}). ` : "", step.why || "")];
      for (const [route, said, cost, time] of step.tried || []) lines.push(el("div", { class: "why" }, `tried ${route}: ${said}, ${usd(cost)}, ${seconds(time)}`));
      for (const [route, reason] of Object.entries(step.not || {})) lines.push(el("div", { class: "why" }, `not eligible: ${route}: ${reason}`));
      for (const problem of step.problems || []) lines.push(el("div", { class: "why" }, `problem: ${problem}`));
      return el("div", {}, ...lines);
    };
    const money = column(rows.map((step) => step.usd));
    const cost = (step) => (["tool", "retriever"].includes(step.what) ? "" : money(step.usd));
    card("timeline", `One task, step by step: ${task.id}`, `Began ${moment(task.started)}.`, facts, legend(tiers), figure,
      table([["Step"], ["At", true], ["Went to"], ["Why"], ["Cost", true], ["Took", true]],
        rows.map((step) => [`${step.i} ${step.kind || "call"}${step.node ? " in " + step.node : ""}`, step.at === 0 ? "0 s" : seconds(step.at), el("span", {}, swatch(step.tier), [step.route, step.model && step.model !== step.route ? `(${step.model})` : ""].filter(Boolean).join(" ") || NONE, step.ok ? "" : el("span", {}, " ", chip("bad", "failed"))), why(step), cost(step), seconds(step.s)]), "Decisions of this task"),
      task.count > rows.length && rows.length ? el("p", { class: "note" }, `The first ${rows.length} of ${plural(task.count, "step")}.`) : null,
      task.outcomes.length ? el("details", {}, el("summary", {}, `What was told of it (${task.outcomes.length})`), table([["Key"], ["By"], ["Success"], ["Score", true]], task.outcomes.map(([key, by, success, score]) => [key, by, success == null ? "" : chip(success ? "good" : "bad", success ? "yes" : "no"), score == null ? "" : String(score)]), "Outcomes of this task")) : null);
  }

  function autopilots() {
    $("autopilots").hidden = !data.autopilots.length;
    if (!data.autopilots.length) return;
    const range = (arm) => (arm.state === "baseline" ? "" : `${d3.format("+.3f")(arm.low)} to ${d3.format("+.3f")(arm.high)}`);
    const shown = data.autopilots.flatMap((pilot) => {
      const money = column(pilot.families.flatMap((one) => one.arms.map((arm) => arm.cost_usd)));
      const arms = pilot.families.flatMap((one) => one.arms.map((arm) => [one.family, arm.name, arm.state, percent(arm.share), count(arm.given), count(arm.told) + (arm.pairs ? ` + ${plural(arm.pairs, "pair")}` : ""), arm.success == null ? "" : percent(arm.success), range(arm), arm.cost_usd == null ? "unknown" : money(arm.cost_usd), arm.spent_usd == null ? "unknown" : usd(arm.spent_usd)]));
      return [
        el("p", { class: "note" }, `${pilot.id}: ${pilot.goal}.`),
        table([["Tasks"], ["Verdict"], ["Waits for"], ["Saved", true], ["Solved more", true]],
          pilot.families.map((one) => [one.family, one.verdict, one.waits_for, one.saved_usd == null ? "unknown" : usd(one.saved_usd), d3.format("+.1f")(one.more_solved)]), `Families of autopilot ${pilot.id}`),
        pilot.left_out ? el("p", { class: "note" }, `${plural(pilot.left_out, "further family", "further families")}: langroute autopilot.`) : null,
        el("details", {}, el("summary", {}, "Arms"), table([["Tasks"], ["Arm"], ["State"], ["Next tasks", true], ["Given", true], ["Told", true], ["Solved", true], ["Against the baseline"], ["A task", true], ["Spent", true]], arms, `Arms of autopilot ${pilot.id}`)),
        pilot.changes.length ? el("details", {}, el("summary", {}, `Changes of mind (${pilot.changes.length})`), el("ul", {}, ...pilot.changes.map((said) => el("li", {}, said)))) : null,
      ];
    });
    card("autopilots", "What the autopilot has proven", "Of all its tasks, whatever the filters say; spend is that of tasks with an outcome. Intervals hold whenever one looks.", ...shown);
  }

  function worth() {
    const s = data.savings, w = data.worth, rows = [], put = (name, text) => rows.push(el("dt", {}, name), el("dd", {}, text));
    if (s.compared) {
      put("Savings, priced", `${usd(s.net_usd)}${s.baseline_usd > 0 ? ` (${percent(s.net_usd / s.baseline_usd)})` : ""} against ${s.baselines.join(" or ") || "the baseline"} for everything: baseline ${usd(s.baseline_usd)}, minus ${usd(s.cost_usd)} spent on every attempt (${plural(s.rejected_calls, "call")} thrown away, ${usd(s.checks_usd)} for checks), minus ${usd(s.cold_usd)} for prompt caches left cold; over ${count(s.compared)} of ${plural(s.decisions, "decision")}. Deciding took ${seconds(s.overhead_s)} in all.`);
    }
    if (s.measured_per_success_usd != null) {
      const steps = s.extra_steps == null ? "" : ` Routed tasks took ${Math.abs(s.extra_steps).toFixed(1)} steps ${s.extra_steps < 0 ? "fewer" : "more"}.`;
      put("Savings, measured", `A success cost ${usd(Math.abs(s.measured_per_success_usd))}${s.measured_share == null ? "" : ` (${percent(Math.abs(s.measured_share))})`} ${s.measured_per_success_usd < 0 ? "more" : "less"} than with ${s.best_single} alone, the best single route.${steps} Compared within ${plural(s.measured_kinds, "kind")} of task; tasks were not assigned by chance.`);
    } else if (s.decisions) put("Savings, measured", "Too few tasks with an outcome were done by one route alone (20 of each kind of task are needed), so extra steps are not measured.");
    if (data.total.response_hits) put("Response cache", `${plural(data.total.response_hits, "hit")}, whose calls would have cost ${usd(data.total.response_saved_usd)}.`);
    if (s.prompt_cache_usd != null) put("Prompt caches", `${usd(s.prompt_cache_usd)} saved at list prices; in the spend already.`);
    if (w.hours_saved != null) put("Hours saved", `${d3.format(",.1f")(w.hours_saved)} over ${plural(w.tasks_with_baseline, "task")} with a baseline; people spent ${d3.format(",.1f")(w.review_hours)} hours on other tasks.`);
    if (w.return_share) put("Return", `${d3.format("+,.1f")(w.return_share.low)} to ${d3.format("+,.1f")(w.return_share.high)} USD for each USD spent.`);
    if (data.footprint) put("Energy and CO2", data.footprint.energy_kwh ? `${d3.format(".3~g")(data.footprint.energy_kwh.low)} to ${d3.format(".3~g")(data.footprint.energy_kwh.high)} kWh, ${d3.format(".3~g")(data.footprint.co2e_kg.low)} to ${d3.format(".3~g")(data.footprint.co2e_kg.high)} kg CO2e, for ${percent(data.footprint.covered)} of the output tokens. ${data.footprint.method}` : "No model is known to the method.");
    for (const one of data.unknown_prices) put("Unknown price", `${one.model || NONE} on route ${one.route || NONE}: ${plural(one.calls, "call")}, ${plural(one.tokens, "token")}`);
    for (const one of data.subtasks) put("Subtasks", one.told);
    for (const one of data.route_errors) put("Errors", `${one.errors} of ${plural(one.calls, "call")} of ${one.route} failed${one.types.length ? ` (${one.types.map(([type, number]) => `${number} ${type}`).join(", ")})` : ""}`);
    for (const note of data.notes) put("Mind", note);
    card("worth", "Was it worth it", "Of the whole time, whatever the filters say.", rows.length ? el("dl", {}, ...rows) : empty("Nothing to compare with yet."));
  }

  // Drawing, live data, theme ---------------------------------------------------------------------------------------------
  function render() {
    const { from, keep } = passing();
    const tasks = data.tasks.filter(keep), calls = data.calls.filter(keep), decisions = data.decisions.filter(keep);
    figures(tasks, calls, data.saving.filter(keep), data.decisions_timeless && chosen().time ? 0 : total(decisions, 5));
    spendOverTime(calls, from); successOverTime(from); quality(tasks); whereStepsGo(decisions); spenders(calls);
    taskLists(); timeline(); autopilots(); worth();
  }
  function start() {
    fill("team", "All teams", data.teams); fill("kind", "All kinds", data.kinds);
    // So many points from the end; named by the day on which they begin, which is exact where a point is a week.
    fill("time", "All of it", data.spans.map((n) => `Since ${data.points.at(-n)}`), data.spans);
    lost = false;
    $("window").textContent = `Report of ${data.window}`;
    $("first-line").textContent = data.first_line;
    $("first-line").className = data.unknown_prices.length ? "banner" : "";
    $("made").textContent = `Made ${moment(data.made_at)} from ${data.source}. Costs are USD. Days are UTC. ${data.live ? "Live: asks the ledger again every ten seconds." : "This file needs no network."}`;
    render();
  }
  async function again() {
    const answer = await fetch("data").catch(() => null);
    if (!answer || !answer.ok) {
      // Old numbers must not pass for live ones.
      lost = true;
      $("first-line").textContent = `The dashboard does not answer. These numbers are of ${moment(data.made_at)}.`;
      $("first-line").className = "banner";
      return;
    }
    const fresh = await answer.json();
    const same = (one) => JSON.stringify({ ...one, made_at: 0 });
    const changed = same(fresh) !== same(data);
    data = fresh;
    if (shown && data.timelines[shown.id]) shown = data.timelines[shown.id];
    // Nobody's place on the page is lost for nothing.
    if (changed || lost) start();
  }
  const theme = (name) => { document.documentElement.dataset.theme = name; $("theme").textContent = name === "dark" ? "Light" : "Dark"; $("theme").setAttribute("aria-label", name === "dark" ? "Light colours" : "Dark colours"); };
  const wanted = new URLSearchParams(location.search).get("theme");
  theme(wanted === "dark" || (wanted !== "light" && matchMedia("(prefers-color-scheme: dark)").matches) ? "dark" : "light");
  $("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  $("filters").addEventListener("change", render);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  if (data.live) {
    $("pause").hidden = false;
    timer = setInterval(again, 10000);
    $("pause").addEventListener("click", () => {
      if (timer) { clearInterval(timer); timer = null; } else { again(); timer = setInterval(again, 10000); }
      $("pause").textContent = timer ? "Pause" : "Go on";
    });
  }
  let resizing = null, last = document.body.clientWidth;
  addEventListener("resize", () => { if (document.body.clientWidth === last) return; last = document.body.clientWidth; clearTimeout(resizing); resizing = setTimeout(render, 120); });
  start();
})();
