"use strict";

// Asks the replica every few seconds and shows what it says. All texts are set as text, never as markup.

const EVERY_MS = 5000;
const TYPING_MS = 200;

const at = (id) => document.getElementById(id);

/** A new element with attributes and children; a child that is no element becomes text. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function table(caption, heads, rows) {
  if (rows.length === 0) return make("p", { class: "muted" }, "None.");
  return make("table", { "aria-label": caption },
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
    make("tbody", {}, ...rows.map((cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, cell ?? ""))))));
}

function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return known.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
}

async function ask(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error ?? `status ${answer.status}`);
  return body;
}

/** "3 min ago", "in 20 s", with the exact time as a tooltip. */
function moment(text) {
  if (!text) return null;
  const seconds = Math.round((Date.parse(text) - Date.now()) / 1000);
  const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"]].find(([size]) => Math.abs(seconds) >= size) ?? [1, "s"];
  const count = Math.abs(Math.trunc(seconds / size));
  const words = count === 0 ? "now" : seconds < 0 ? `${count} ${unit} ago` : `in ${count} ${unit}`;
  return make("time", { datetime: text, title: text }, words);
}

const path = (what, object) =>
  `#/${what}/${[object.kind.toLowerCase(), object.namespace, object.name].map(encodeURIComponent).join("/")}`;
const named = (object) => `${object.kind} ${object.namespace}/${object.name}`;
const workloadLink = (object) => make("a", { href: path("workloads", object) }, named(object));
const sourceLink = (object) => make("a", { href: path("sources", object) }, named(object));

function sourcesOf(row) {
  return row.sources.map((source) => `${source.kind}/${source.name}`).join(", ");
}

// The overview.

async function showOverview() {
  const [status, restarts, sources] = await Promise.all([ask("v1/status"), ask("v1/restarts"), ask("v1/sources")]);
  const { replica, totals, owed } = status;
  at("replica").replaceChildren(
    `${replica.name} ${replica.version}: `,
    make("span", { class: status.ready ? "tag good" : "tag bad" }, status.ready ? "ready" : "not ready"),
    replica.leads ? ", leads" : `, stands by; leader: ${(status.leader ?? "none").split("_")[0]}`);
  at("totals").replaceChildren(...facts([
    ["Workloads", String(totals.workloads)],
    ["Opted in", String(totals.optedIn)],
    ["Sources", String(totals.sources)],
    ["Owe a restart", String(totals.owing)],
    ["Failing", replica.leads ? String(totals.failing) : null],
    ["Leads since", moment(status.leadsSince)],
    ["Started", moment(status.started)],
    ["Lease", status.lease],
  ]));
  const unsynced = status.watched.filter((watch) => !watch.synced);
  at("notes").replaceChildren(...[
    ...status.notReadyBecause,
    ...unsynced.filter((watch) => watch.error).map((watch) => `${watch.resource}: ${watch.error}`),
    ...status.notes,
  ].filter((note, index, all) => all.indexOf(note) === index).map((note) => make("li", {}, note)));
  at("owed").replaceChildren(table("Owed restarts",
    ["Workload", "For", "Since", "Failed attempts", "Waits for", "Last error", "Next try"],
    owed.rows.map((row) => [workloadLink(row.workload), sourcesOf(row), moment(row.since),
      row.attempts === undefined ? "?" : make("span", { class: row.attempts > 0 ? "tag bad" : "" }, String(row.attempts)),
      row.deferred && row.deferred.message, row.lastError, moment(row.deferred ? row.deferred.until : row.nextTry)])));
  if (owed.rows.length < owed.total) {
    at("owed").append(make("p", { class: "muted" }, `${owed.total - owed.rows.length} more: search for one, or see /v1/owed.`));
  }
  at("restarts").replaceChildren(table("Last restarts", ["Workload", "For", "When", "After the change"],
    restarts.restarts.map((row) => [workloadLink(row.workload), sourcesOf(row), moment(row.at), `${(row.latencyMs / 1000).toFixed(1)} s`])));
  at("sources").replaceChildren(table("Sources", ["Source", "Workloads"],
    sources.sources.map((row) => [sourceLink(row.source), String(row.users)])));
}

// One workload.

const VERDICTS = { restarts: ["restarts it", "good"], refused: ["does not restart it", "muted"], unknown: ["unknown", "waiting"] };

function held(content) {
  if (content === undefined) return null;
  if (content === "absent") return "does not exist";
  if (content === "withheld") return "data that no marker shows (a Secret's digest is not given)";
  return content.digest;
}

function sourceCard(answer) {
  const [words, style] = VERDICTS[answer.verdict];
  const owed = answer.owes === "nothing" || answer.owes === "unknown" ? null : answer.owes.restart;
  return make("div", { class: "card" },
    make("h3", {}, `${answer.kind} ${answer.name}: `, make("span", { class: `tag ${style}` }, words),
      owed ? make("span", { class: "tag waiting" }, ", owes a restart") : null),
    make("dl", {}, ...facts([
      ["Next", answer.next],
      ["Because", answer.because],
      ["Used by", answer.usedBy.join("; ") || "no pod"],
      ["Owed since", owed ? moment(owed.since) : null],
      ["Failed attempts", owed && owed.attempts !== undefined ? String(owed.attempts) : null],
      ["Last error", owed ? owed.lastError : null],
      ["Next try", owed ? moment(owed.nextTry) : null],
      ["Holds", held(answer.now)],
      ["Pods run with", held(answer.settled)],
      ["Markers", answer.inTemplate.map((marker) => `${marker.place}: ${marker.digest ?? "no digest"}`).join("; ")],
      ["Changed", moment(answer.changedAt)],
    ])));
}

function list(texts) {
  return texts.length === 0 ? null : make("ul", {}, ...texts.map((text) => make("li", {}, text)));
}

async function showWorkload(parts) {
  const answer = await ask(`v1/workloads/${parts.join("/")}`);
  return [named(answer.workload), [
    make("p", {}, answer.optedIn ? `${answer.restart}.` : "Nothing restarts it: it opts into nothing."),
    list(answer.findings.map((finding) => `${finding.key}: ${finding.message}${finding.suggestion ? ` (${finding.suggestion})` : ""}`)),
    ...answer.sources.map(sourceCard),
    answer.sources.length === 0 ? make("p", { class: "muted" }, "No sources.") : null,
    answer.sourcesLeftOff ? make("p", { class: "muted" }, `${answer.sourcesLeftOff} more sources.`) : null,
    list(answer.notes),
  ]];
}

// One source.

/** "at once", or the word for what it waits for; all of it as a tooltip. */
function whenRestarted(deferred) {
  if (!deferred) return "at once";
  const until = deferred.until ? [", ", moment(deferred.until)] : [];
  return make("span", { title: deferred.message }, deferred.reason, ...until);
}

async function showSource(parts) {
  const answer = await ask(`v1/sources/${parts.join("/")}`);
  const more = answer.restartsLeftOff + answer.leftLeftOff;
  return [`If ${named(answer.source)} changed now`, [
    answer.exists === false ? make("p", { class: "waiting" }, "It does not exist.") : null,
    table("Workloads that restart", ["Restarts", "When", "Because of", "How"], answer.restarts.map((row) =>
      [workloadLink(row.workload), whenRestarted(row.deferred),
        row.askedForBy ? row.askedForBy.key : row.rule, row.restart])),
    answer.left.length === 0 ? null
      : table("Workloads that do not restart", ["Does not restart", "Because"], answer.left.map((row) => [workloadLink(row.workload), row.because])),
    more > 0 ? make("p", { class: "muted" }, `${more} more workloads.`) : null,
    make("p", { class: "muted" }, `${answer.order}.`),
  ]];
}

// Where the user is, by the fragment of the address.

let shown = null;

async function show() {
  const [, what, ...parts] = location.hash.split("/");
  const answers = { workloads: showWorkload, sources: showSource };
  const isOverview = !(what in answers && parts.length === 3);
  try {
    if (isOverview) {
      await showOverview();
    } else {
      const place = location.hash;
      const [title, children] = await answers[what](parts);
      // The user has moved on meanwhile.
      if (place !== location.hash) return;
      at("answer-title").textContent = title;
      at("answer").querySelector(".content").replaceChildren(...children.filter((child) => child !== null));
    }
    at("trouble").hidden = true;
  } catch (error) {
    at("trouble").textContent = `No answer: ${error.message}`;
    at("trouble").hidden = false;
    if (!isOverview && shown !== location.hash) at("answer").querySelector(".content").replaceChildren();
  }
  at("overview").hidden = !isOverview;
  at("answer").hidden = isOverview;
  document.title = isOverview ? "Reloader" : `${at("answer-title").textContent} · Reloader`;
  if (!isOverview && shown !== location.hash) at("answer-title").focus();
  shown = location.hash;
}

// The search.

let typing = 0;

async function search() {
  const text = at("query").value.trim();
  if (text === "") {
    at("found").hidden = true;
    return;
  }
  try {
    const answer = await ask(`v1/search?q=${encodeURIComponent(text)}`);
    if (text !== at("query").value.trim()) return;
    at("found").querySelector(".content").replaceChildren(
      table("Found", ["Object", ""], answer.found.map((row) => [
        row.isSource ? sourceLink(row.object) : workloadLink(row.object),
        row.owes ? make("span", { class: "tag waiting" }, "owes a restart")
          : row.isSource ? "source" : row.optedIn ? "opted in" : "not opted in",
      ])),
      answer.isCut ? make("p", { class: "muted" }, "And more: type more of the name.") : "");
    at("found").hidden = false;
    at("trouble").hidden = true;
  } catch (error) {
    at("trouble").textContent = `No answer: ${error.message}`;
    at("trouble").hidden = false;
  }
}

function leaveSearch() {
  at("query").value = "";
  at("found").hidden = true;
}

at("query").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(search, TYPING_MS);
});
at("search").addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(typing);
  search().then(() => at("found").querySelector("a")?.focus());
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== at("query")) {
    event.preventDefault();
    at("query").focus();
  } else if (event.key === "Escape") {
    if (at("found").hidden) location.hash = "";
    leaveSearch();
  }
});
addEventListener("hashchange", () => {
  leaveSearch();
  show();
});

async function poll() {
  if (!document.hidden) await show();
  setTimeout(poll, EVERY_MS);
}
poll();
