import { Comet } from "./comet.js";

(globalThis as unknown as { Comet: typeof Comet }).Comet = Comet;
