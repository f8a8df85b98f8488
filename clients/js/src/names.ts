/** Whether a server lets a channel have this name, and takes this for a position: a wrong one would cost all the others. */
export const isLegal = (id: string, since = ""): boolean =>
  /^(0|\d+-\d+)?$/.test(since) && /^[^\p{Z}\p{Cc}\p{Cs}{}!*]+$/u.test(id) && new Blob([id]).size < 256;
