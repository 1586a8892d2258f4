-- Work to be done, written in the transaction of its cause. Due times are business time; leases are by this server's clock.
create table tasks (
  id text primary key,
  queue text not null,
  key text not null,
  type text not null,
  payload bytea not null,
  state text not null default 'waiting' check (state in ('waiting', 'done', 'dead')),
  due_at timestamptz not null,
  attempts integer not null default 0,
  lease_until timestamptz,
  fence integer not null default 0,
  cause text,
  correlation text not null,
  trace text not null,
  causation text,
  created_at timestamptz not null,
  ended_at timestamptz,
  unique (queue, key)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- Claiming changes no indexed column, so that it stays a heap-only update.
create index tasks_due on tasks (queue, due_at) where state = 'waiting';
create index tasks_done on tasks (ended_at) where state = 'done';
create index tasks_dead on tasks (ended_at) where state = 'dead';
