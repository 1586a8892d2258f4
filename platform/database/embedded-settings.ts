/** PostgreSQL settings by name. `undefined` removes a default. */
export type Settings = Readonly<Record<string, string | number | boolean | undefined>>;

/** A small machine, nothing unsafe: fsync, full_page_writes and synchronous_commit stay on. */
const defaults: Settings = {
  // The shop's connection budget is 40; the rest is for administration and further processes.
  max_connections: 100,
  shared_buffers: "64MB",
  effective_cache_size: "512MB",
  work_mem: "8MB",
  maintenance_work_mem: "64MB",
  random_page_cost: 1.1,
  // Short statements only: compiling or spreading one over processes costs more than it saves.
  jit: false,
  max_parallel_workers_per_gather: 0,
  max_parallel_maintenance_workers: 0,
  // Nothing replicates from this server.
  max_logical_replication_workers: 0,
  wal_buffers: "4MB",
  max_wal_size: "1GB",
  min_wal_size: "128MB",
  checkpoint_timeout: "10min",
  // Queues and outboxes turn their rows over all the time: check often, clean up little at a time.
  autovacuum_max_workers: 2,
  autovacuum_naptime: "10s",
  autovacuum_vacuum_threshold: 200,
  autovacuum_vacuum_scale_factor: 0.05,
  autovacuum_analyze_threshold: 200,
  autovacuum_analyze_scale_factor: 0.05,
  autovacuum_vacuum_cost_limit: 1000,
  idle_in_transaction_session_timeout: "60s",
  timezone: "UTC",
  log_timezone: "UTC",
  datestyle: "iso, ymd",
  lc_messages: "C",
  default_text_search_config: "pg_catalog.simple",
  log_line_prefix: "%m [%p] %q%u@%d ",
  log_checkpoints: false,
  log_lock_waits: true,
  // Details and statements carry values, which may be personal data.
  log_error_verbosity: "terse",
  log_min_error_statement: "panic",
  update_process_title: false,
};

/** Settings that only newer versions have. */
const since: Readonly<Record<number, Settings>> = {
  16: {
    // The passwords are random keys, which iterations do not make harder to guess, and each connection pays for them.
    scram_iterations: 256,
  },
  18: {
    // The three workers would cost memory, and the data is in the cache.
    io_method: "sync",
  },
};

/** The text of `postgresql.conf`. Later ones win: the defaults, the version's, `address` (port and socket), the caller's. */
export function settingsFile(major: string, address: Settings, overrides: Settings): string {
  const newer = Object.entries(since).flatMap(([from, settings]) => (Number(major) >= Number(from) ? Object.entries(settings) : []));
  const all: Settings = { ...defaults, ...Object.fromEntries(newer), ...address, ...overrides };
  const lines = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [`${name} = ${quoted(name, value)}`]));
  return ["# Written by Kontor at each start.", ...lines, ""].join("\n");
}

/** Passwords for everyone, and connections from this machine only. */
export const accessFile = [
  "# Written by Kontor at each start.",
  "local all all scram-sha-256",
  "host all all 127.0.0.1/32 scram-sha-256",
  "host all all ::1/128 scram-sha-256",
  "",
].join("\n");

function quoted(name: string, value: string | number | boolean): string {
  if (!/^[a-z_.]+$/i.test(name) || /[\n\r]/.test(String(value))) throw new Error(`not a PostgreSQL setting: ${name}`);
  if (typeof value === "boolean") return value ? "on" : "off";
  return `'${String(value).replaceAll("\\", "\\\\").replaceAll("'", "''")}'`;
}
