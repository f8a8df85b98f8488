// The panel of one channel: shows its messages as they come, publishes to it, closes its connections.

import { closeChannel, follow, publish, readChannel } from "./admin-api.js";

const MAX_SHOWN = 200; // messages
const RETRY_DELAY = 2000; // milliseconds until a tail that broke is asked for again
const RETRIED = [0, 502, 503, 504]; // statuses after which a tail is asked for again; 0: no answer

const byId = (id) => document.getElementById(id);
const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" });

/** All about the one channel that the operator looks at; `onFailure` is called with every error. */
export class ChannelPanel {
  #channel = "";
  #watching = null;
  #onFailure;

  constructor(onFailure) {
    this.#onFailure = onFailure;
    byId("watch").addEventListener("submit", (event) => this.#do(event, () => this.watch(byId("channel").value.trim())));
    byId("publish").addEventListener("submit", (event) => this.#do(event, () => this.#publish()));
    byId("stop").addEventListener("click", () => this.stop());
    byId("disconnect").addEventListener("click", (event) => this.#do(event, () => this.#askToClose()));
    byId("close-dialog").addEventListener("close", (event) => this.#do(event, () => this.#close()));
    addEventListener("pagehide", () => this.stop());
  }

  /** Show the kept messages of a channel and each new one. */
  async watch(channel) {
    this.stop();
    this.#channel = byId("channel").value = channel;
    this.#say("");
    byId("messages").replaceChildren();
    const watching = (this.#watching = new AbortController());
    byId("stop").disabled = byId("disconnect").disabled = false;
    await this.count();
    this.#follow(channel, watching.signal);
  }

  /** Stop showing new messages. */
  stop() {
    this.#watching?.abort();
    this.#watching = null;
    byId("stop").disabled = true;
  }

  /** Show how many subscribers the channel has. */
  async count() {
    if (this.#channel === "" || byId("disconnect").disabled) return;
    const about = await readChannel(this.#channel);
    const edges = Object.values(about.edges).filter((count) => count > 0).length;
    const silent = about.silent > 0 ? `; ${about.silent} did not answer` : "";
    byId("subscribers").textContent = `${plural(about.subscribers, "subscriber")} on ${plural(edges, "edge")}${silent}`;
  }

  async #follow(channel, signal) {
    while (!signal.aborted) {
      try {
        byId("messages").replaceChildren(); // the kept messages come again
        await follow(channel, signal, (entry) => signal.aborted || this.#show(entry));
      } catch (error) {
        if (signal.aborted) return;
        this.#fail(error);
        if (!RETRIED.includes(error.status)) return;
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_DELAY));
    }
  }

  #show(entry) {
    const list = byId("messages");
    const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    list.append(entry.note ? noteRow(entry.note) : messageRow(entry));
    while (list.childElementCount > MAX_SHOWN) list.firstElementChild.remove();
    if (isAtEnd) list.scrollTop = list.scrollHeight;
  }

  async #publish() {
    const id = byId("channel").value.trim();
    if (!byId("channel").reportValidity()) return;
    const event = byId("event").value;
    const answer = await publish({ id, content: byId("content").value, ...(event === "" ? {} : { event }) });
    byId("content").value = "";
    const reached = answer.subscribers === null ? "the number of subscribers is not known" : `${plural(answer.subscribers, "subscriber")} got it`;
    this.#say(`Published to ${id} as ${answer.seq ?? "a live message"}; ${reached}.`, "good");
  }

  async #askToClose() {
    const about = await readChannel(this.#channel);
    byId("close-text").textContent =
      `${plural(about.subscribers, "connection")} of ${this.#channel} will be ended. Clients that reconnect by themselves come back.`;
    byId("close-dialog").returnValue = "";
    byId("close-dialog").showModal();
  }

  async #close() {
    if (byId("close-dialog").returnValue !== "close") return;
    const answer = await closeChannel(this.#channel);
    this.#say(`Ended ${plural(answer.closed, "connection")} of ${this.#channel}.`, "good");
  }

  async #do(event, action) {
    event.preventDefault();
    try {
      await action();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error) {
    this.#say(error.message, "bad");
    this.#onFailure(error);
  }

  #say(sentence, kind = "") {
    byId("channel-notice").className = `notice ${kind}`;
    byId("channel-notice").textContent = sentence;
  }
}

function messageRow({ at, content, event, seq, size }) {
  const row = document.createElement("li");
  const time = document.createElement("time");
  time.dateTime = new Date(at * 1000).toISOString();
  time.textContent = clock.format(at * 1000);
  time.title = `position ${seq}`;
  const body = document.createElement("span");
  body.className = "content";
  body.textContent = size > content.length ? `${content}… (${size} bytes)` : content;
  row.append(time, ...(event ? [tag(event)] : []), body);
  return row;
}

function noteRow(note) {
  const row = document.createElement("li");
  row.append(tag(note, "warn"));
  return row;
}

function tag(content, kind = "") {
  const element = document.createElement("span");
  element.className = `tag ${kind}`;
  element.textContent = content;
  return element;
}

function plural(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}
