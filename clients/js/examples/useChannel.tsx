import { useEffect, useState } from "react";
import { Comet, type Message } from "comet-client";

const comet = new Comet("https://push.example"); // one for the whole application

/** The last messages of a channel; `load` fetches what the page shows at first, and again after a reset. */
export function useChannel(id: string, load: () => Promise<Message[]>): Message[] {
  const [messages, setMessages] = useState<Message[]>([]);
  useEffect(() => {
    const reload = () => void load().then(setMessages);
    const off = comet.on("reset", (reset) => reset.id === id && reload());
    const end = comet.subscribe(id, (message) => setMessages((all) => [...all.slice(-99), message]));
    reload();
    return () => {
      off();
      end();
    };
  }, [id, load]);
  return messages;
}
