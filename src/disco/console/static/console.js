// The page of `disco console`. It only asks; texts go in as text, never as markup.
"use strict";

const VIEWS = ["components", "checks", "alerts", "boards", "logs", "events", "history", "graph", "plan"];
const KEPT = 5000; // events that a filter looks through
const SHOWN = 500; // events in the list
const by = (id) => document.getElementById(id);

function make(name, text = "", className = "", ...children) {
  const found = document.createElement(name);
  if (text !== "") found.textContent = text;
  if (className) found.className = className;
  found.append(...children);
  return found;
}

const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });

// Opening: the token stands behind the #, which is sent to nobody; it is changed for a cookie.

async function open() {
  const token = location.hash.slice(1);
  if (token.length > 20) {
    history.replaceState(null, "", location.pathname);
    await fetch("/session", { headers: { Authorization: `Bearer ${token}` } });
  }
  const stack = await ask("/api/stack");
  if (!stack) return;
  by("stack").textContent = stack.name;
  document.title = `${stack.name} – DISCO`;
  by("board-name").replaceChildren(...stack.boards.map((name) => make("option", name)));
  by("logs-name").replaceChildren(...stack.logs.map((name) => make("option", name)));
  follow();
  show(VIEWS.includes(location.hash.slice(1)) ? location.hash.slice(1) : "components");
  if (view !== "components") refresh("status");
}

async function ask(path) {
  try {
    const response = await fetch(path);
    const told = await response.json();
    complain(response.ok ? [] : told.errors);
    return response.ok ? told : null;
  } catch {
    complain([{ what: "the console does not answer", fix: "start it again: disco console" }]);
    return null;
  }
}

function complain(errors) {
  by("errors").replaceChildren(...errors.map((error) => {
    const box = make("div", "", "error", make("p", error.where ? `${error.where}: ${error.what}` : error.what));
    if (error.why) box.append(make("p", `why: ${error.why}`));
    if (error.fix) box.append(make("p", `fix: ${error.fix}`));
    return box;
  }));
}

// Views

let view = "components";
const asked = new Set();

function show(name) {
  view = name;
  for (const one of VIEWS) by(one).hidden = one !== name;
  for (const button of document.querySelectorAll("[data-view]")) {
    if (button.dataset.view === name) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  history.replaceState(null, "", `#${name}`);
  const question = { components: "status", checks: "check", alerts: "alerts", history: "history", boards: "board", graph: "graph" }[name];
  const again = ["history", "alerts", "board"].includes(question);
  if (question && (again || !asked.has(question))) refresh(question);
  if (name === "events") draw();
}

const drawn = {
  status: (told) => drawStatus(told.data),
  check: (told) => drawChecks(told.data),
  alerts: (told) => drawAlerts(told.data),
  board: drawBoard,
  logs: (told) => drawLines(told.lines),
  history: drawHistory,
  graph: drawGraph,
  plan: (told) => drawPlan(told.data),
};

async function refresh(question) {
  asked.add(question);
  const button = document.querySelector(`[data-ask="${question}"]`);
  if (button?.disabled) return;
  if (button) button.disabled = true;
  by(`${question}-at`).textContent = "asking…";
  const more = { logs: wantedLogs, board: wantedBoard }[question];
  const told = await ask(`/api/${question}${more ? `?${more()}` : ""}`);
  if (button) button.disabled = false;
  if (!told) asked.delete(question);
  const took = told?.data ? `${clock(told.at)}, took ${told.seconds.toFixed(1)} s` : "";
  by(`${question}-at`).textContent = told ? took : "no answer";
  if (told) drawn[question](told);
}

const mark = (ok) => make("span", ok ? "✓" : "✗", `mark ${ok ? "good" : "bad"}`);

function drawStatus(told) {
  const layers = Map.groupBy(told.things, (thing) => thing.layer);
  const parts = [];
  for (const [layer, things] of layers) {
    const rows = things.map((thing) => {
      const row = make("li", "", "", mark(thing.ok));
      const name = thing.what ? `${thing.component} ${thing.what}` : thing.component;
      row.append(make("span", name), make("span", thing.state), make("span", thing["reach it by"], "reach"));
      return row;
    });
    parts.push(make("h3", layer), make("ul", "", "rows", ...rows));
  }
  const drift = Object.entries(told.drift).map(([name, titles]) =>
    make("p", `${name} is not as declared: ${titles.join("; ")}`, "warn"));
  const errors = told.errors.map((error) => make("p", error, "bad"));
  by("status").replaceChildren(...errors, ...drift, ...parts);
}

function drawChecks(told) {
  const open = new Set([...by("check").querySelectorAll("details[open]")].map((d) => d.dataset.check));
  const red = told.checks.filter((check) => !check.ok).length;
  const rows = told.checks.toSorted((a, b) => a.ok - b.ok).map((check) => {
    const head = make("summary", "", "", mark(check.ok), " ", make("span", check.check, "id"), " ",
      make("span", check.question, "faint"));
    const row = make("details", "", "", head, make("p", check.evidence));
    if (check.details.length) row.append(make("pre", check.details.join("\n")));
    if (check.fix) row.append(make("p", `fix: ${check.fix}`, "fix"));
    row.dataset.check = check.check;
    row.open = open.has(check.check);
    return row;
  });
  const sum = make("p", `${told.checks.length - red} green, ${red} red`, red ? "bad" : "good");
  const left = told.not_asked.length
    ? [make("p", `Not asked here, because they make something for a while: ${told.not_asked.join(", ")}. ` +
        "At the terminal: disco check", "faint")] : [];
  by("check").replaceChildren(sum, ...rows, ...left);
}

let timer = 0;
by("every").addEventListener("change", (event) => {
  clearInterval(timer);
  const seconds = Number(event.target.value);
  if (seconds) timer = setInterval(() => document.hidden || refresh("check"), seconds * 1000);
});

function drawAlerts(alerts) {
  const open = new Set([...by("firing").querySelectorAll("details[open]")].map((d) => d.dataset.alert));
  const rows = alerts.map((alert) => {
    const severe = alert.severity === "critical";
    const since = new Date(alert.since).toLocaleString([], { hour12: false });
    const head = make("summary", "", "", make("span", alert.severity, `severity ${severe ? "bad" : "warn"}`), " ",
      make("span", alert.alert, "id"), " ", make("span", alert.summary), " ", make("span", `since ${since}`, "faint"));
    const row = make("details", "", "", head, make("p", alert.description), make("p", alert.runbook, "fix"));
    if (alert.page) row.append(make("pre", alert.page));
    row.dataset.alert = JSON.stringify(alert.labels);
    row.open = open.has(row.dataset.alert);
    return row;
  });
  const sum = make("p", alerts.length ? `${alerts.length} firing` : "No alert fires.", alerts.length ? "bad" : "good");
  by("firing").replaceChildren(sum, ...rows);
}

function wantedBoard() {
  return new URLSearchParams({ name: by("board-name").value, seconds: by("board-span").value });
}

function drawBoard(board) {
  by("board-about").textContent = board.about;
  by("board-at").textContent = clock(Date.now() / 1000);
  by("panels").replaceChildren(...board.panels.map((panel) => {
    if (panel.kind === "row") return make("h3", panel.title, "row");
    const box = make("figure", "", `panel ${panel.kind} wide-${panel.columns}`, make("figcaption", panel.title));
    box.title = panel.about;
    if (panel.error) box.append(make("p", panel.error, "bad"));
    for (const figure of panel.figures ?? []) {
      const name = figure.name ? [make("span", `${figure.name} `, "faint")] : [];
      box.append(make("p", "", "figure", ...name, make("strong", figure.said, `is-${figure.colour}`)));
    }
    if (panel.svg) box.append(drawing(panel.svg, `${panel.title}. ${panel.about}`), legend(panel));
    for (const alert of panel.alerts) {
      const name = make("span", alert, "alert-name faint");
      name.title = `disco alerts ${alert}`;
      box.append(name, " ");
    }
    return box;
  }));
}

function drawing(text, label) {
  const svg = document.importNode(new DOMParser().parseFromString(text, "image/svg+xml").documentElement, true);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  return svg;
}

function legend(panel) {
  const items = panel.legend.map((line, i) => make("li", "", `color-${i % 8}`, make("span", line.name), " ", make("b", line.said)));
  if (panel.left_out) items.push(make("li", `and ${panel.left_out} more`, "faint"));
  return make("ul", "", "legend", ...items);
}

function wantedLogs() {
  return new URLSearchParams({
    name: by("logs-name").value, since: by("logs-since").value, query: by("logs-query").value,
  });
}

function drawLines(lines) {
  const several = new Set(lines.map((line) => line.from)).size > 1;
  by("lines").replaceChildren(...lines.map((line) => {
    const from = several && line.from ? [make("span", `${line.from} `, "faint")] : [];
    return make("li", "", "", ...from, make("span", line.line));
  }));
  by("logs-at").textContent = lines.length === 1 ? "1 line" : `${lines.length} lines`;
  by("lines").lastChild?.scrollIntoView({ block: "nearest" });
}

function drawHistory(runs) {
  const names = ["run", "when", "who", "what", "took", "steps", "ended"];
  const head = make("tr", "", "", ...names.map((name) => make("th", name)));
  const rows = runs.map((run) => {
    const when = new Date(run.at * 1000).toLocaleString([], { hour12: false });
    const steps = run.done === null ? `of ${run.steps}` : `${run.done} done, ${run.failed} failed, ${run.skipped} skipped`;
    const cells = [run.run, when, run.who, run.what, `${run.seconds.toFixed(0)} s`, steps, run.ended];
    const row = make("tr");
    cells.forEach((text, i) => {
      const good = { done: "good", running: "" }[run.ended] ?? "bad";
      const cell = make("td", text, names[i] === "ended" ? good : "");
      cell.dataset.name = names[i];
      row.append(cell);
    });
    return row;
  });
  by("runs").replaceChildren(runs.length
    ? make("table", "", "", make("thead", "", "", head), make("tbody", "", "", ...rows))
    : make("p", "No run yet."));
}

function drawGraph(told) {
  const svg = new DOMParser().parseFromString(told.svg, "image/svg+xml").documentElement;
  by("drawing").replaceChildren(document.importNode(svg, true));
  by("nodes").replaceChildren(...told.nodes.map((node) =>
    make("li", `${node.name} (${node.layer})${node.on.length ? ` on ${node.on.join(", ")}` : ""}`)));
}

function drawPlan(plan) {
  const found = [make("p", plan.summary)];
  if (plan.lost.length) {
    const items = plan.lost.map((text) => make("li", text));
    found.push(make("div", "", "lost", make("p", "This destroys, for good:"), make("ul", "", "", ...items)));
  }
  for (const part of plan.parts) {
    const after = part.known_after.length ? ` (known after ${part.known_after.join(", ")})` : "";
    found.push(make("h3", `${part.layer}: ${part.name}${after}`));
    found.push(...part.notes.map((note) => make("p", `! ${note}`, "warn")));
    found.push(...part.steps.map((step) =>
      make("details", "", "", make("summary", `${step.mark} ${step.title}`), make("pre", step.lines.join("\n")))));
  }
  found.push(make("p", "To carry it out: disco apply", "faint"));
  by("parts").replaceChildren(...found);
}

// Events: kept as data; the list is drawn at most once a frame.

let kept = [];
let fresh = []; // those that are not in the list yet
let total = 0;
let paused = false;
let waiting = false;

function follow() {
  const source = new EventSource("/api/events");
  source.onopen = () => { kept = []; total = 0; live(); draw(); };
  source.onmessage = (message) => take(JSON.parse(message.data));
  source.onerror = () => {
    const isOver = source.readyState === EventSource.CLOSED;
    by("live").textContent = isOver ? "refused; the history tells why, or reload" : "not connected; trying again";
  };
}

function take(records) {
  total += records.length;
  kept = kept.concat(records).slice(-KEPT);
  fresh = fresh.concat(records).slice(-SHOWN);
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    live();
    if (view === "events" && !paused) add();
  });
}

function live() {
  by("live").textContent = `${paused ? "paused" : "live"}; ${total} events`;
}

const REST = ["step", "action", "who", "what", "outcome", "error"];
const line = (r) => [clock(r.at), r.run ?? "", r.event.padEnd(6), ...REST.map((k) => r[k]).filter(Boolean)].join("  ");

const wanted = (record) => {
  const text = by("filter").value.toLowerCase();
  return !text || JSON.stringify(record).toLowerCase().includes(text);
};

// Only what is new: who stands on a row with the keyboard stays there.
function add() {
  const list = by("list");
  list.prepend(...fresh.filter(wanted).reverse().map(eventRow));
  fresh = [];
  while (list.children.length > SHOWN) list.lastChild.remove();
}

function draw() {
  fresh = [];
  by("list").replaceChildren(...kept.filter(wanted).slice(-SHOWN).reverse().map(eventRow));
}

function eventRow(record) {
  const colour = { failed: "bad", done: "good" }[record.event === "end" ? record.outcome : record.event] ?? "";
  const button = make("button", line(record), colour);
  button.type = "button";
  button.setAttribute("aria-expanded", "false");
  const row = make("li", "", "", button);
  button.addEventListener("click", () => {
    const isOpen = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!isOpen));
    if (isOpen) row.lastChild.remove();
    else row.append(make("pre", JSON.stringify(record, null, 2)));
  });
  return row;
}

function pause() {
  paused = !paused;
  by("pause").setAttribute("aria-pressed", String(paused));
  live();
  if (!paused) draw();
}

by("pause").addEventListener("click", pause);
by("filter").addEventListener("input", draw);

// Theme and keys

function theme(name) {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  by("theme").textContent = `Theme: ${name}`;
  localStorage.setItem("theme", name);
}

function nextTheme() {
  const order = ["system", "light", "dark"];
  const now = document.documentElement.dataset.theme ?? "system";
  theme(order[(order.indexOf(now) + 1) % order.length]);
}

by("wanted-board").addEventListener("submit", (event) => { event.preventDefault(); refresh("board"); });
for (const name of ["board-name", "board-span"]) by(name).addEventListener("change", () => refresh("board"));
by("wanted").addEventListener("submit", (event) => { event.preventDefault(); refresh("logs"); });
by("theme").addEventListener("click", nextTheme);
by("help").addEventListener("click", () => by("keys").showModal());
for (const button of document.querySelectorAll("[data-view]")) {
  button.addEventListener("click", () => show(button.dataset.view));
}
for (const button of document.querySelectorAll("[type=button][data-ask]")) {
  button.addEventListener("click", () => refresh(button.dataset.ask));
}

addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, dialog");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const index = Number(event.key) - 1;
  if (VIEWS[index]) show(VIEWS[index]);
  else if (event.key === "r") document.querySelector("section:not([hidden]) [data-ask]")?.click();
  else if (event.key === "p") pause();
  else if (event.key === "t") nextTheme();
  else if (event.key === "?") by("keys").showModal();
  else if (event.key === "/") { event.preventDefault(); show("events"); by("filter").focus(); }
});

theme(localStorage.getItem("theme") ?? "system");
open();
