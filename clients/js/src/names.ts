/** Whether a server accepts this channel name and position: a wrong one has it refuse the whole request. */
export const isLegal = (id: string, since = ""): boolean =>
  /^(0|\d+-\d+)?$/.test(since) && /^[^\p{Z}\p{Cc}\p{Cs}{}!*]+$/u.test(id) && new Blob([id]).size < 256;
