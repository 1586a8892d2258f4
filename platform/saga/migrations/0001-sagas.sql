-- Sagas: one row each, written when it begins and when it ends. `lease_until` is by this server's clock: until then only the owner writes to
-- a live saga; without an owner it is the end of a pause. `fence` rises with each owner, and each write names the one that it was made under.
create table sagas (
  id text primary key,
  name text not null,
  subject text,
  key text,
  fingerprint text not null,
  input bytea not null,
  call jsonb not null,
  status text not null default 'RUNNING' check (status in ('RUNNING', 'UNDOING', 'DONE', 'REFUSED')),
  reply bytea,
  refusal jsonb,
  fence bigint not null default 1,
  owner text,
  lease_until timestamptz,
  attempts integer not null default 1,
  created_at timestamptz not null,
  ended_at timestamptz,
  released_at timestamptz
) with (fillfactor = 80);

create unique index sagas_key on sagas (key) where key is not null;
-- One live saga for a subject: it is free again when its saga was refused, or when what it created does not exist any more (`released_at`).
create unique index sagas_subject on sagas (name, subject) where subject is not null and released_at is null and status <> 'REFUSED';
create index sagas_live on sagas (lease_until) where status in ('RUNNING', 'UNDOING');
