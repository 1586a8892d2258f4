/** Settings that the shop relies on, sent for each session, because the server, the role or the database may have others. */
const settings: Readonly<Record<string, string>> = {
  // `decodeTime` relies on both, and the decoder of bytes on the third.
  TimeZone: "UTC",
  DateStyle: "ISO, YMD",
  bytea_output: "hex",
  // Single statements are read committed too.
  default_transaction_isolation: "read committed",
  // Short statements only: compiling or spreading one over processes costs more than it saves.
  jit: "off",
  max_parallel_workers_per_gather: "0",
  // Data is in memory or on solid-state disks.
  random_page_cost: "1.1",
  lock_timeout: "5s",
  // The connection budget closes unused connections.
  idle_session_timeout: "0",
  default_text_search_config: "pg_catalog.simple",
};

/** The settings as a client sends them when it connects. */
export const sessionOptions = Object.entries(settings)
  .map(([name, value]) => `-c ${name}=${value.replaceAll(" ", "\\ ")}`)
  .join(" ");
