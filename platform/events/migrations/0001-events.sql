-- The log of what happened in this service: outbox, audit trail and history in one. Append only.
create table events (
  epoch int not null,
  -- The greater of the writing transaction's id and that of the stream's previous event: the order in which readers take events.
  xid xid8 not null,
  position bigint generated always as identity,
  id text not null,
  stream text not null,
  version int not null check (version > 0),
  type text not null,
  data bytea not null,
  actor text not null,
  trace text not null,
  correlation text not null,
  causation text not null,
  at timestamptz not null,
  primary key (epoch, xid, position),
  constraint events_stream_version unique (stream, version)
);

-- Statistics from a nearly empty table would make cached plans scan it whole, long after it has grown.
alter table events set (autovacuum_analyze_threshold = 10000);

create function forbid_event_change() returns trigger language plpgsql as $$
begin
  raise exception 'events are append only: % refused', tg_op using errcode = 'restrict_violation';
end $$;

create trigger events_append_only before update or delete on events for each row execute function forbid_event_change();
create trigger events_no_truncate before truncate on events for each statement execute function forbid_event_change();

-- One row: the log's epoch. It rises when the database has moved to another server or its transaction ids went back, because old and new
-- transaction ids cannot be compared then.
create table log_epoch (
  one boolean primary key default true check (one),
  epoch int not null,
  server text not null,
  xid xid8 not null
);
insert into log_epoch (epoch, server, xid) values (1, '', '0');

-- The checkpoints of this service's subscriptions in the logs that they read, and who holds their leases.
create table subscriptions (
  name text primary key,
  publisher text not null,
  epoch int not null default 0,
  xid xid8 not null default '0',
  position bigint not null default 0,
  applied bigint not null default 0,
  skipped bigint not null default 0,
  -- Rises with each new holder of the lease: a holder with an older fence cannot write.
  fence bigint not null default 0,
  lease_owner text,
  lease_until timestamptz,
  created_at timestamptz not null default now()
) with (fillfactor = 50);

-- Events that a subscriber could not apply, and all that follow in their streams, until they are applied or skipped.
create table parked_events (
  subscription text not null references subscriptions (name) on delete cascade,
  stream text not null,
  epoch int not null,
  xid xid8 not null,
  position bigint not null,
  id text not null,
  version int not null,
  type text not null,
  data bytea not null,
  actor text not null,
  trace text not null,
  correlation text not null,
  causation text not null,
  at timestamptz not null,
  -- Why it failed the last time; empty for an event that only waits for earlier ones.
  cause text not null,
  -- 0: due as soon as it is the first of its stream.
  attempts int not null,
  -- When it is tried again, in business time. Null after attempts: it stays until an operator replays or skips it.
  next_attempt_at timestamptz,
  parked_at timestamptz not null default now(),
  primary key (subscription, stream, epoch, xid, position)
);
