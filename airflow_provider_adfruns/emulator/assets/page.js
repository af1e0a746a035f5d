// Shows the factory that the control API tells of; what it writes is text, never markup.
"use strict";

const WINDOWS = 240;
const RUNS = 150;
const CALLS = 200;
const LOOK_AGAIN_MS = 1000;
const STATUSES = [
  "Succeeded", "Failed", "Running", "Waiting", "WaitingOnDependency", "Canceling", "Cancelled", "Queued",
];
const FINAL = ["Succeeded", "Failed", "Cancelled"];

const $ = (id) => document.getElementById(id);

/** Make an element; strings among the children become text. */
function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

async function ask(path, options) {
  const answer = await fetch(`/_adf/${path}`, { cache: "no-store", ...options });
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return answer.json();
}

// How things are written

const time = (iso) => (iso ? iso.slice(0, 19).replace("T", " ") : "");
const hour = (iso) => (iso ? iso.slice(5, 16).replace("T", " ") : "");

function span(begin, end) {
  const seconds = Math.round((Date.parse(end) - Date.parse(begin)) / 1000);
  if (!(seconds >= 0)) return "";
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

function counted(counts) {
  const known = STATUSES.concat("InProgress").filter((status) => counts[status]);
  const others = Object.keys(counts).filter((status) => !known.includes(status));
  return known.concat(others).map((status) => `${counts[status].toLocaleString("en")} ${status}`).join(", ");
}

const pill = (status) => make("span", { class: "pill", "data-status": status }, status);

/** Replace what is shown only where it would change, so that what somebody points at stays. */
const shown = new Map();
function show(id, data, write) {
  const text = JSON.stringify(data);
  if (shown.get(id) === text) return;
  shown.set(id, text);
  $(id).replaceChildren(...write());
}

// Triggers

function runLines(runs) {
  const newest = runs.slice(-6);
  const lines = newest.map((run) => make(
    "p", {}, `${time(run.timestamp)} ${run.status}${run.stuck ? " (stuck)" : ""} `,
    make("code", {}, run.triggerRunId, ...run.pipelineRuns.map((id) => ` → ${id}`)),
  ));
  return runs.length > newest.length ? [make("p", {}, `${runs.length - newest.length} older runs`), ...lines] : lines;
}

function cell(status, runs, title) {
  const stuck = Boolean(runs.at(-1)?.stuck) && !FINAL.includes(status);
  const reruns = runs.length - 1;
  const notes = [status + (stuck ? ", stuck" : ""), reruns > 0 ? `${reruns} rerun${reruns > 1 ? "s" : ""}` : ""];
  const made = make("span", {
    class: `cell${reruns > 0 ? " again" : ""}${stuck ? " stuck" : ""}`,
    "data-status": status,
    role: "img",
    "aria-label": [title, ...notes].filter(Boolean).join(", "),
  });
  made.tip = () => [
    make("p", {}, make("strong", {}, title)),
    make("p", {}, notes.filter(Boolean).join(", ")),
    ...runLines(runs),
  ];
  return made;
}

function trigger(each) {
  const cells = each.windows
    ? each.windows.map((window) => cell(window.status, window.runs, `${time(window.start)} to ${time(window.end)}`))
    : each.runs.map((run) => cell(run.status, [run], time(run.timestamp)));
  const ends = each.windows
    ? [each.windows[0]?.start, each.windows.at(-1)?.end]
    : [each.runs[0]?.timestamp, each.runs.at(-1)?.timestamp];
  const facts = [
    each.type === "TumblingWindowTrigger" ? "tumbling windows" : "schedule",
    `runs ${each.pipelines.join(", ")}`,
    each.dependsOn.length ? `depends on ${each.dependsOn.join(", ")}` : "",
    counted(each.counts),
  ];
  return make(
    "article", { class: "trigger" },
    make(
      "p", {}, make("h3", {}, each.name),
      make("span", { class: each.started ? "quiet" : "stopped" }, each.started ? "started" : "stopped"),
      make("span", { class: "quiet" }, ` · ${facts.filter(Boolean).join(" · ")}`),
    ),
    cells.length
      ? make(
        "div", { class: "past" }, make("div", { class: "strip" }, ...cells),
        make("div", { class: "ends" }, ...ends.map((end) => make("span", {}, hour(end)))),
      )
      : make("p", { class: "empty" }, "no runs yet"),
  );
}

function legend() {
  const entry = (cells, text) => make("li", {}, cells, text);
  const colours = STATUSES.map((status) => (
    entry(make("span", { class: "cell", "data-status": status }), status === "Running" ? "Running, InProgress" : status)
  ));
  return [
    ...colours,
    entry(make("span", { class: "cell again", "data-status": "Succeeded" }), "rerun; the colour is the latest run's"),
    entry(make("span", { class: "cell stuck", "data-status": "WaitingOnDependency" }), "stuck"),
  ];
}

// Pipeline runs, children below the run that started them

function runRows(state) {
  const children = new Map();
  const known = new Set(state.pipelineRuns.map((run) => run.runId));
  const roots = [];
  for (const run of state.pipelineRuns.slice().reverse()) {
    if (run.parentRunId && known.has(run.parentRunId)) {
      children.set(run.parentRunId, [run, ...(children.get(run.parentRunId) ?? [])]);
    } else {
      roots.push(run);
    }
  }
  const startedBy = new Map();
  for (const each of state.triggers) {
    for (const run of each.windows ? each.windows.flatMap((window) => window.runs) : each.runs) {
      for (const id of run.pipelineRuns) startedBy.set(id, each.name);
    }
  }
  const rows = [];
  const add = (run, depth) => {
    const by = run.parentRunId ? "a parent run" : run.triggerRunId ? startedBy.get(run.runId) ?? "a trigger" : "a call";
    const recovery = run.groupId !== run.runId && !run.parentRunId ? ", in the group of an earlier run" : "";
    const name = make("td", {}, "\u2003".repeat(depth) + (depth ? "└ " : "") + run.pipelineName);
    rows.push(make(
      "tr", { "data-depth": String(depth) }, make("td", {}, pill(run.status)), name, make("td", {}, make("code", {}, run.runId)),
      make("td", {}, time(run.start)), make("td", {}, span(run.start, run.end ?? state.now)),
      make("td", { class: "wide" }, by + recovery),
    ));
    for (const child of children.get(run.runId) ?? []) add(child, depth + 1);
  };
  for (const root of roots) add(root, 0);
  return rows.length ? rows : [make("tr", {}, make("td", { class: "empty", colspan: "6" }, "no runs yet"))];
}

// The journal

let journal = { beginnings: null, calls: [], next: -1 };

/** Write what a call changed: names and values, windows short, a group that says nothing new left out. */
function effectWords(effect) {
  const words = Object.entries(effect ?? {}).filter(([name]) => name !== "groupId").map(([name, value]) => {
    if (value?.start && value?.end) return [`${name} ${hour(value.start)} to ${hour(value.end)}`];
    return [`${name} `, make("code", {}, typeof value === "string" ? value : JSON.stringify(value))];
  });
  return words.flatMap((each, at) => (at ? [" · ", ...each] : each));
}

function callRow(call, fresh) {
  const bad = call.status === null || call.status >= 400;
  const answer = call.status === null ? "none" : String(call.status);
  const fault = call.fault ? make("span", { class: "bad" }, `fault: ${call.fault} `) : null;
  return make(
    "tr", { class: fresh ? "fresh" : null }, make("td", {}, String(call.sequence)), make("td", {}, time(call.at)),
    make("td", {}, call.operation || `${call.method} ${call.path}`),
    make("td", { class: "wide" }, make("code", {}, call.subject ?? "")),
    make("td", { class: bad ? "bad" : "" }, answer),
    make("td", { class: "wide" }, fault, ...effectWords(call.effect)),
    make("td", {}, make("code", { title: call.principal }, call.principal.slice(0, 13))),
  );
}

async function readJournal(state) {
  if (journal.beginnings !== state.beginnings || state.journal <= journal.next) {
    journal = { beginnings: state.beginnings, calls: [], next: Math.max(-1, state.journal - CALLS - 1) };
  }
  const before = journal.next;
  const opened = journal.calls.length === 0;
  if (state.journal > journal.next + 1) {
    const { entries } = await ask(`journal?after=${journal.next}&limit=1000&answers=false`);
    journal.calls = journal.calls.concat(entries).slice(-CALLS);
    journal.next = entries.length ? entries.at(-1).sequence : journal.next;
  }
  show("journal", [journal.beginnings, journal.next], () => (
    journal.calls.length
      ? journal.calls.slice().reverse().map((call) => callRow(call, !opened && call.sequence > before))
      : [make("tr", {}, make("td", { class: "empty", colspan: "7" }, "nobody has called yet"))]
  ));
  $("journal-sum").textContent = `${state.journal.toLocaleString("en")} calls, the newest first`;
}

// Everything

function showState(state, faults) {
  document.title = `${state.factory.name} · Local Data Factory`;
  $("name").textContent = state.factory.name;
  $("place").textContent = `${state.factory.resourceGroup} · ${state.factory.subscriptionId}`;
  $("now").textContent = `${time(state.now)} UTC`;
  const manual = state.clock.set === "manual";
  $("pace").textContent = manual ? "a clock moved by hand"
    : state.clock.scale === 1 ? "real time" : `${state.clock.scale} factory seconds a second`;
  $("moves").hidden = !manual;
  $("triggers-sum").textContent = counted(state.counts.triggerRuns);
  show("triggers", state.triggers, () => (
    state.triggers.length ? state.triggers.map(trigger) : [make("p", { class: "empty" }, "this factory has none")]
  ));
  $("runs-sum").textContent = counted(state.counts.pipelineRuns);
  const going = state.pipelineRuns.some((run) => !run.end);
  show("runs", [state.pipelineRuns, going ? state.now : ""], () => runRows(state));
  $("faults-sum").textContent = faults.hanging ? `${faults.hanging} calls hang` : "";
  show("faults", faults.faults, () => (
    faults.faults.length
      ? faults.faults.map((fault) => {
        const { number, operation, left, until, ...what } = fault;
        const words = Object.entries(what).filter(([name]) => name !== "count")
          .map(([name, value]) => (value === true ? name : `${name} ${value}`)).join(", ");
        const ends = [left === null ? "" : `${left} more`, until ? `until ${time(until)}` : ""].filter(Boolean).join(", ");
        return make("li", {}, make("code", {}, operation), ` ${words}${ends ? ` · ${ends}` : ""}`);
      })
      : [make("li", { class: "empty" }, "none")]
  ));
}

async function look() {
  try {
    const [state, faults] = await Promise.all([ask(`state?windows=${WINDOWS}&runs=${RUNS}`), ask("faults")]);
    showState(state, faults);
    await readJournal(state);
    $("trouble").hidden = true;
  } catch (error) {
    $("trouble").textContent = `The factory cannot be asked just now: ${error.message}`;
    $("trouble").hidden = false;
  }
}

async function keepLooking() {
  if (!document.hidden) await look();
  setTimeout(keepLooking, LOOK_AGAIN_MS);
}

document.addEventListener("mouseover", (event) => {
  const tip = $("tip");
  const { tip: words } = event.target;
  tip.hidden = !words;
  if (!words) return;
  tip.replaceChildren(...words());
  const box = event.target.getBoundingClientRect();
  const left = Math.min(box.left, window.innerWidth - tip.offsetWidth - 12);
  const below = box.bottom + 8 + tip.offsetHeight < window.innerHeight;
  tip.style.left = `${Math.max(12, left)}px`;
  tip.style.top = `${below ? box.bottom + 8 : box.top - tip.offsetHeight - 8}px`;
});

$("moves").addEventListener("click", async (event) => {
  const seconds = Number(event.target.dataset.seconds);
  if (!seconds) return;
  const headers = { "Content-Type": "application/json" };
  await ask("clock", { method: "POST", headers, body: JSON.stringify({ advance: seconds }) }).catch(() => null);
  await look();
});

$("legend").replaceChildren(...legend());
keepLooking();
