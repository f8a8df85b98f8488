// A page that subscribes by one transport and notes all that it hears, and every connection that was made for it.
// By the built client where that speaks the transport; the forever iframe is held by hand.

const SILENCE = 3000; // milliseconds: six heartbeats of the tests' edges

globalThis.heard = []; // [channel, content], as they came
globalThis.opened = []; // the session of each connection
globalThis.positions = () => ({}); // of the channels that are subscribed

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
    globalThis.page = { receive: (object) => this.receive(object) };
    this.frame = document.createElement("iframe");
    this.frame.onload = () => this.open(); // a page that never ends loading has ended
    document.body.append(this.frame);
    this.open();
    setInterval(() => this.watch(), 100);
  }

  open() {
    const query = Object.keys(this.positions).map((id) => ["id", id]);
    const since = Object.values(this.positions).join();
    if (/\d/.test(since)) query.push(["since", since]);
    this.grown = performance.now();
    this.frame.src = `${this.url}/iframe?${new URLSearchParams([...query, ["callback", "page.receive"]])}`;
  }

  // Chromium tells nobody when such a page is cut off. But each heartbeat is a newline more in it.
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

// The browser's own EventSource, without any of our code: it resumes by itself, or not at all.
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
