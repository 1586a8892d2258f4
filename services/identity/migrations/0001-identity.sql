create table accounts (
  id text primary key,
  version int not null,
  email text not null,
  -- What makes two addresses the same account.
  email_key text not null unique,
  name text not null,
  password_hash text not null,
  status text not null check (status in ('UNVERIFIED', 'VERIFIED')),
  roles text[] not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);

-- A code that was mailed. The code itself is derived from the id and stored nowhere.
create table verifications (
  id text primary key,
  account text not null references accounts,
  tries int not null default 0,
  used_at timestamptz,
  expires_at timestamptz not null,
  created_at timestamptz not null
);

create index verifications_by_account on verifications (account, created_at desc);

-- A sign-in that lasts and its refresh tokens: one generation after the other, of which only the last is valid. When it ends, its row is deleted.
create table sessions (
  id text primary key,
  account text not null references accounts,
  generation int not null,
  -- By this server's clock, because requests of several processes are compared with it.
  rotated_at timestamptz not null default clock_timestamp(),
  created_at timestamptz not null,
  last_used_at timestamptz not null,
  expires_at timestamptz not null
);

create index sessions_by_account on sessions (account, created_at desc);

-- Keys that sign access tokens; the private half is sealed with the master key.
create table signing_keys (
  kid text primary key,
  public_jwk jsonb not null,
  sealed_private_key bytea not null,
  created_at timestamptz not null
);
