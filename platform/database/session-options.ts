/** What the shop relies on, set for each session: the server, its role or the database may be set up for something else. */
const settings: Readonly<Record<string, string>> = {
  // `decodeTime` relies on both, and the decoder of bytes on the third.
  TimeZone: "UTC",
  DateStyle: "ISO, YMD",
  bytea_output: "hex",
  // A statement of its own is read committed too.
  default_transaction_isolation: "read committed",
  // Short statements only: compiling or spreading one over processes costs more than it saves.
  jit: "off",
  max_parallel_workers_per_gather: "0",
  // What is read is in memory or on a disk without arms.
  random_page_cost: "1.1",
  lock_timeout: "5s",
  // The budget closes what is unused.
  idle_session_timeout: "0",
  default_text_search_config: "pg_catalog.simple",
};

/** The settings as a client tells them when it connects. */
export const sessionOptions = Object.entries(settings)
  .map(([name, value]) => `-c ${name}=${value.replaceAll(" ", "\\ ")}`)
  .join(" ");
