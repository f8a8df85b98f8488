// What the demo's pages ask of the publisher, and what they say if its demo is off, or it is not there.
const OFF = "the demo is off here: start the publisher with COMET_DEMO=1, and the load balancer with LB_DEMO=1";
const GONE = "the publisher cannot be reached";
const JSON_BODY = { "Content-Type": "application/json" };

/** Return the answer of the publisher, or throw an error whose message is a sentence for people. */
async function ask(path, options) {
  const answer = await fetch(path, options).catch(() => {
    throw new Error(GONE);
  });
  if (answer.status === 404) throw new Error(OFF);
  const result = await answer.json().catch(() => ({ content: `the publisher answered with ${answer.status}` }));
  if (!answer.ok) throw new Error(result.content);
  return result;
}

/** Return where the edges are, and the publisher if only its own machine reaches it. */
export const configuration = () => ask("/demo/config.json");

/** Publish a message to one of the demo's channels; return what became of it. */
export const publish = (message) =>
  ask("/demo/pub", { method: "POST", headers: JSON_BODY, body: JSON.stringify(message) });
