create table documents (
  collection text collate "C" not null,
  id text collate "C" not null,
  version integer not null check (version > 0),
  body jsonb not null,
  expires_at timestamptz,
  primary key (collection, id)
);

create index documents_expiry on documents (collection, expires_at) where expires_at is not null;
