export { Comet } from "./comet.js";
export type * from "./types.js";
