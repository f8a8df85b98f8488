// The page for operators: every two seconds it reads what the edges announced, and shows it.

import { forgetKey, hasKey, readEdges, rememberKey } from "./admin-api.js";
import { ChannelPanel } from "./admin-channel.js";
import { Chart } from "./admin-chart.js";

const PERIOD = 2000; // milliseconds between two reads, as between two announcements of an edge
const MINUTES = 5; // that a chart shows
const MAX_CHANNELS = 10;
const UNAUTHORIZED = 401;
const FORBIDDEN = 403;

const byId = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const sum = (values) => values.reduce((total, value) => total + value, 0);
const connectionsOf = (edge) => sum(Object.values(edge.connections));

const charts = {
  connections: new Chart(byId("connections-chart"), "Connections", MINUTES),
  messages: new Chart(byId("messages-chart"), "Messages delivered per second", MINUTES),
};
const panel = new ChannelPanel(onFailure);

async function refresh() {
  try {
    show(await readEdges());
    setState("live", "good");
  } catch (error) {
    if (error.status === FORBIDDEN) {
      setState("another key is needed", "warn"); // this one opens something else
      askForKey(error.message);
    }
    onFailure(error);
    return;
  }
  await panel.count().catch(onFailure);
}

async function run() {
  for (;;) {
    if (!document.hidden && !byId("key-dialog").open) await refresh();
    await new Promise((resolve) => setTimeout(resolve, PERIOD));
  }
}

function onFailure(error) {
  if (error.status === UNAUTHORIZED) {
    setState("a key is needed", "warn");
    askForKey(hasKey() ? error.message : "");
  } else if (error.status === 0) {
    setState("publisher does not answer", "bad");
  } else if (error.status === 503) {
    setState(error.message, "bad");
  } else if (error.status === undefined) {
    setState("this page failed; its console says why", "bad");
    console.error(error);
  }
}

function setState(text, kind) {
  const state = byId("state");
  if (state.textContent !== text) state.textContent = text; // so that a screen reader says it once
  state.className = `tag ${kind}`;
}

function askForKey(sentence) {
  byId("key-notice").textContent = sentence;
  if (!byId("key-dialog").open) byId("key-dialog").showModal();
}

byId("key-form").addEventListener("submit", () => {
  rememberKey(byId("key").value.trim());
  byId("key").value = "";
  byId("forget-key").hidden = false;
  setTimeout(refresh); // after the dialog has closed
});

byId("forget-key").addEventListener("click", () => {
  forgetKey();
  location.reload();
});

function show({ edges, unreadable }) {
  const connections = sum(edges.map(connectionsOf));
  const delivered = sum(edges.map((edge) => edge.rates.delivered));
  byId("edge-count").textContent = whole.format(edges.length);
  byId("connection-count").textContent = whole.format(connections);
  byId("delivery-rate").textContent = tenths.format(delivered);
  byId("opened-rate").textContent = tenths.format(sum(edges.map((edge) => edge.rates.opened)));
  charts.connections.add(connections);
  charts.messages.add(delivered);
  byId("edges").replaceChildren(...edges.map(edgeRow));
  byId("no-edges").hidden = edges.length > 0;
  showUnreadable(unreadable);
  showBusiest(busiestOf(edges));
}

function showUnreadable(ids) {
  const text = ids.length === 0 ? "" : `In Redis there is an announcement of no edge; it is left out: ${ids.join(", ")}`;
  const notice = byId("unreadable");
  if (notice.textContent !== text) notice.textContent = text; // so that a screen reader says it once
  notice.hidden = text === "";
}

function edgeRow(edge) {
  const row = document.createElement("tr");
  const name = document.createElement("th");
  name.scope = "row";
  name.dataset.label = "Edge";
  const label = document.createElement("span");
  label.append(part("mono", edge.id), " ", part("quiet small", edge.host));
  name.append(label);
  const [state, kind] = stateOf(edge);
  row.append(
    name,
    cell("State", part(`tag ${kind}`, state)),
    cell("Connections", part("number", connectionText(edge))),
    cell("Messages / s", tenths.format(edge.rates.delivered), "number"),
    cell("Channels", whole.format(edge.channels), "number"),
    cell("Version", edge.build === "" ? edge.version : `${edge.version}, ${edge.build}`),
    cell("Up", uptime(edge.uptime), "number"),
  );
  return row;
}

function stateOf(edge) {
  if (edge.draining) return ["draining", "warn"];
  return edge.ready ? ["ready", "good"] : ["not ready", "bad"];
}

function connectionText(edge) {
  const held = Object.entries(edge.connections).filter(([, count]) => count > 0);
  const detail = held.map(([transport, count]) => `${transport} ${whole.format(count)}`).join(" · ");
  return held.length === 0 ? "0" : `${whole.format(connectionsOf(edge))} (${detail})`;
}

function busiestOf(edges) {
  const counts = new Map();
  for (const [channel, count] of edges.flatMap((edge) => edge.busiest)) {
    counts.set(channel, (counts.get(channel) ?? 0) + count);
  }
  return [...counts].sort((one, other) => other[1] - one[1]).slice(0, MAX_CHANNELS);
}

function showBusiest(channels) {
  const rows = byId("busiest");
  if (rows.contains(document.activeElement)) {
    refreshFocused(rows, channels); // the keyboard must not lose its place
  } else {
    rows.replaceChildren(...channels.map(([channel, count]) => busiestRow(channel, count, channels[0][1])));
  }
  byId("nobody").hidden = channels.length > 0;
}

function busiestRow(channel, count, most) {
  const row = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "plain";
  button.textContent = channel;
  button.setAttribute("aria-label", `Watch ${channel}`);
  button.addEventListener("click", () => {
    byId("channel-panel").scrollIntoView({ block: "nearest" });
    panel.watch(channel).catch(onFailure);
  });
  row.append(button, part("number", whole.format(count)));
  row.style.setProperty("--share", count / most);
  return row;
}

function refreshFocused(rows, channels) {
  const focused = document.activeElement.textContent;
  const fresh = channels.map(([channel, count]) => busiestRow(channel, count, channels[0][1]));
  rows.replaceChildren(...fresh);
  fresh.find((row) => row.firstElementChild.textContent === focused)?.firstElementChild.focus();
}

function part(className, content) {
  const element = document.createElement("span");
  element.className = className;
  element.textContent = content;
  return element;
}

function cell(label, content, className = "") {
  const element = document.createElement("td");
  element.dataset.label = label;
  element.className = className;
  element.append(content);
  return element;
}

function uptime(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = Math.max(units.findIndex(([, size]) => seconds >= size), 0);
  const at = seconds < 1 ? units.length - 1 : first;
  const [unit, size] = units[at];
  const rest = units[at + 1] ? Math.floor((seconds % size) / units[at + 1][1]) : 0;
  return `${Math.floor(seconds / size)} ${unit}${rest > 0 ? ` ${rest} ${units[at + 1][0]}` : ""}`;
}

byId("forget-key").hidden = !hasKey();
run();
