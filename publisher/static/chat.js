// The chat: messages are JSON objects {who, text} in one channel; a new connection gets the last ones.
import { Comet } from "./comet.mjs";
import { configuration, publish } from "./demo-api.js";

const CHANNEL = "demo:chat";
const HISTORY = 50;
const list = document.querySelector("ol");
const form = document.querySelector("form");
const where = document.querySelector("#where");
const outcome = document.querySelector("#outcome");

function add(kind, ...parts) {
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  const item = document.createElement("li");
  item.className = kind;
  item.append(...parts);
  list.append(item);
  if (atEnd) item.scrollIntoView({ block: "end" });
}

function element(name, text) {
  return Object.assign(document.createElement(name), { textContent: text });
}

/** Return name and text of a message; anything that is not {who, text} is shown as plain text. */
function read(content) {
  try {
    const { who, text } = JSON.parse(content);
    if (typeof who === "string" && typeof text === "string") return { who, text };
  } catch {
    // plain text, published with curl for example
  }
  return { who: "", text: content };
}

function show({ content, seq }) {
  const { who, text } = read(content);
  const when = seq ? new Date(Number(seq.split("-")[1]) / 1000) : new Date();
  const clock = when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  add("", element("time", clock), element("b", who || "–"), element("span", text));
}

try {
  form.who.value = localStorage.getItem("comet-chat-name") ?? "";
} catch {
  // this browser stores nothing
}
form.who.value ||= "guest " + Math.floor(100 + Math.random() * 900);

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { who, text } = Object.fromEntries(new FormData(form));
  try {
    localStorage.setItem("comet-chat-name", who);
  } catch {
    // this browser stores nothing
  }
  try {
    await publish({ id: CHANNEL, content: { who, text } });
    outcome.textContent = form.text.value = "";
  } catch (error) {
    outcome.textContent = `${error.message}; your message is still here, send it again`;
  }
});

function connect(edges) {
  const comet = new Comet(edges, { history: HISTORY });
  comet.subscribe(CHANNEL, show);
  comet.on("reset", () => add("note", "Some messages are missing here."));
  comet.on("state", ({ state, transport, session, shared }) => {
    const by = state === "open" ? ` by ${transport} to edge ${session?.split(".")[0] ?? "?"}` : "";
    where.textContent = state + by + (shared ? ", held by another tab" : "");
  });
}

try {
  connect((await configuration()).edges);
} catch (error) {
  where.textContent = "not connected";
  outcome.textContent = error.message;
}
form.text.focus();
