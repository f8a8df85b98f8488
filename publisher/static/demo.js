// The demo page: two connections side by side, and a form that publishes.
import { Comet } from "./comet.mjs";
import { configuration, publish as send } from "./demo-api.js";

const MAX_ROWS = 100;
const TONE = { open: "good", closed: "bad", offline: "bad" };
const sent = new Map(); // content → when it was sent, for the messages of this page

const now = () => performance.timeOrigin + performance.now();
const find = (root, selector) => root.querySelector(selector);

class Pane {
  constructor(urls, name) {
    this.urls = urls;
    this.root = find(document, "#pane").content.firstElementChild.cloneNode(true);
    this.root.setAttribute("aria-label", name);
    this.rows = find(this.root, "tbody");
    this.control = (name) => find(this.root, `[name=${name}]`);
    this.control("transport").addEventListener("change", () => this.connect());
    this.control("channel").addEventListener("change", () => this.listen());
    this.control("kill").addEventListener("click", () => this.comet.reconnect());
    find(document, "#panes").append(this.root);
    this.connect();
  }

  connect() {
    this.comet?.close();
    const transport = this.control("transport").value;
    this.latencies = [];
    this.comet = new Comet(this.urls, { share: false, history: 5, ...(transport && { transports: [transport] }) });
    this.comet.on("state", (state) => this.showState(state));
    this.comet.on("reset", ({ seq }) => this.row(seq, "reset: something is missing here; it is no longer kept", "", "note"));
    this.comet.on("error", ({ content }) => this.row("", content, "", "note"));
    this.channel = undefined;
    this.listen();
  }

  listen() {
    const channel = this.control("channel").value;
    if (this.channel) this.comet.unsubscribe(this.channel);
    this.channel = channel;
    this.rows.replaceChildren();
    if (channel) this.comet.subscribe(channel, (message) => this.showMessage(message));
  }

  showState({ state, transport = "–", session = "–", url = "–" }) {
    const show = (name, text) => (find(this.root, "." + name).textContent = text);
    const tag = find(this.root, ".state .tag");
    tag.textContent = state;
    tag.className = "tag " + (TONE[state] ?? "warn");
    show("via", transport);
    show("edge", session.split(".")[0]);
    show("address", url.replace(/^https?:\/\//, ""));
    if (state === "open") this.opened = now();
  }

  showMessage({ content, seq, event }) {
    const began = sent.get(content) ?? (seq ? Number(seq.split("-")[1]) / 1000 : NaN);
    const old = !(began > this.opened); // it was published before this connection opened
    const took = Math.max(0, now() - began);
    this.row(seq ?? "live", event ? `${event}: ${content}` : content, old ? "" : took.toFixed(took < 10 ? 1 : 0), old ? "" : "news");
    if (!old) this.showLatency(took);
  }

  showLatency(took) {
    this.latencies = [...this.latencies.slice(-99), took];
    const middle = [...this.latencies].sort((a, b) => a - b)[this.latencies.length >> 1];
    find(this.root, ".latency").textContent = `${took.toFixed(1)} ms, median ${middle.toFixed(1)}`;
  }

  row(position, text, took, kind) {
    const row = document.createElement("tr");
    row.className = kind;
    for (const [index, each] of [position, text, took].entries()) {
      const cell = row.insertCell();
      cell.textContent = each ?? "";
      if (index === 2) cell.className = "number";
    }
    this.rows.prepend(row);
    while (this.rows.rows.length > MAX_ROWS) this.rows.lastElementChild.remove();
  }
}

const form = find(document, "#publish");
const outcome = find(document, "#outcome");

function say(sentence, isBad = false) {
  outcome.className = isBad ? "bad small" : "quiet small";
  outcome.textContent = sentence;
}

async function publish(content) {
  sent.set(content, now());
  if (sent.size > MAX_ROWS) sent.delete(sent.keys().next().value);
  try {
    const { seq, subscribers, edges } = await send({ id: form.channel.value, content, receipt: true });
    say(`${seq ?? "sent live"} reached ${subscribers} subscribers on ${edges} edges`);
  } catch (error) {
    say(`this message was not sent: ${error.message}`, true);
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!form.content.value) return form.content.focus();
  void publish(form.content.value);
  form.content.value = "";
});

const mark = Math.random().toString(36).slice(2, 5); // so that the ticks of two pages differ
let ticks = 0;
setInterval(() => {
  if (form.tick.checked && !document.hidden && form.reportValidity()) void publish(`tick ${++ticks} ${mark}`);
}, 1000);

try {
  const { edges, publisher } = await configuration();
  const curl = find(document, "#curl");
  curl.parentElement.hidden = false;
  curl.textContent = `curl '${publisher || location.origin}/pub?id=demo&content=hello'`;
  for (const name of ["First connection", "Second connection"]) {
    new Pane([...edges], name);
    edges.push(edges.shift()); // the second connection begins with another edge
  }
} catch (error) {
  form.tick.checked = false;
  say(error.message, true);
}
