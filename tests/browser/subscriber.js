// A page that subscribes by one transport and records its messages and connections. It uses the built client, or this
// file's own code for the transports that the client does not have: the forever iframe and a plain EventSource.

const SILENCE = 3000; // milliseconds: six heartbeats of the edges in the tests

globalThis.heard = []; // [channel, content], in order of arrival
globalThis.opened = []; // the session of each connection
globalThis.positions = () => ({}); // of the subscribed channels

function note(channel, content) {
  heard.push([channel, content]);
  document.querySelector("ol").append(Object.assign(document.createElement("li"), { textContent: `${channel}: ${content}` }));
}

class ByClient {
  constructor(url, transport, channels) {
    this.comet = new Comet(url, { channels, transports: [transport], share: false });
    this.comet.on("message", ({ id, content }) => note(id, content));
    this.comet.on("open", ({ session }) => opened.push(session));
    this.comet.on("reset", ({ id }) => note(id, "reset"));
    globalThis.positions = () => this.comet.positions;
  }

  change(add, drop) {
    this.comet.subscribe(add);
    this.comet.unsubscribe(drop);
  }
}

class ByIframe {
  constructor(url, channels) {
    this.url = url;
    this.positions = Object.fromEntries(channels.map((id) => [id, ""]));
    globalThis.positions = () => this.positions;
    globalThis.receive = (object) => this.receive(object);
    this.frame = document.createElement("iframe");
    this.frame.onload = () => this.open(); // the page, which never ends loading, has ended
    document.body.append(this.frame);
    this.open();
    setInterval(() => this.watch(), 100);
  }

  open() {
    const query = Object.keys(this.positions).map((id) => ["id", id]);
    const since = Object.values(this.positions).join();
    if (/\d/.test(since)) query.push(["since", since]);
    this.grown = performance.now();
    this.frame.src = `${this.url}/iframe?${new URLSearchParams([...query, ["callback", "receive"]])}`;
  }

  // Chromium fires no event when such a page is cut off. But each heartbeat adds a newline to it.
  watch() {
    const length = this.frame.contentDocument?.documentElement?.textContent.length;
    if (length !== this.length) [this.length, this.grown] = [length, performance.now()];
    else if (performance.now() - this.grown > SILENCE) this.open();
  }

  receive({ type, id, content, seq, session }) {
    if (session && session !== opened.at(-1)) opened.push(session);
    if (type === "unsub") delete this.positions[id];
    else if (seq) this.positions[id] = seq;
    if (type === "data" || type === "reset") note(id, content ?? type);
  }

  change(add, drop) {
    const ops = [{ op: "sub", id: add }, { op: "unsub", id: drop }];
    fetch(`${this.url}/sub/${opened.at(-1)}`, { method: "POST", body: JSON.stringify(ops) });
  }
}

// The browser's own EventSource, without the client: it resumes by itself, or not at all.
class ByEventSource {
  constructor(url, channel) {
    this.source = new EventSource(`${url}/sub?id=${channel}`);
    this.source.onmessage = ({ data }) => note(channel, data);
    this.source.addEventListener("reset", () => note(channel, "reset"));
    this.source.addEventListener("welcome", ({ data, lastEventId }) => {
      opened.push(JSON.parse(data).session);
      globalThis.positions = () => ({ [channel]: lastEventId });
    });
  }
}

globalThis.subscribe = (url, transport, ...channels) => {
  if (transport === "iframe") globalThis.subscriber = new ByIframe(url, channels);
  else if (transport === "EventSource") globalThis.subscriber = new ByEventSource(url, ...channels);
  else globalThis.subscriber = new ByClient(url, transport, channels);
};
