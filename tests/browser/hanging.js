// A tab that shares its connection, and records what it hears and by which connection.
globalThis.heard = []; // [channel, content], in order of arrival
globalThis.led = 0; // when it began to lead, in milliseconds
globalThis.told = []; // what the tabs tell each other

globalThis.share = (url, ...channels) => {
  globalThis.comet = new Comet(url, { channels });
  comet.on("message", ({ id, content }) => heard.push([id, content]));
  comet.on("reset", ({ id }) => heard.push([id, "reset"]));
  comet.on("state", ({ shared }) => (led = shared ? 0 : led || Date.now()));
  new BroadcastChannel(`comet:${[[url], undefined, undefined, undefined, true]}`).onmessage = ({ data }) => told.push(data);
};

globalThis.loop = (milliseconds) => {
  setTimeout(() => {
    for (const end = Date.now() + milliseconds; Date.now() < end; );
  });
};
