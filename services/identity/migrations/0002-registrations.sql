-- Registrations that wait for their code. One claims nothing: as many as people ask for may have one address, each with its own password, until
-- the code of one of them is verified, which makes the account. Rows of accounts are verified ones from now on; what processes of the version
-- before insert as UNVERIFIED is known to nobody else, and goes when the address is verified.
create table registrations (
  -- The id that the account will have.
  account text primary key,
  email text not null,
  email_key text not null,
  name text not null,
  password_hash text not null,
  -- The last version of its stream of events.
  version int not null,
  -- Its newest mail: the code is derived from this id and stored nowhere.
  verification text not null unique,
  code_expires_at timestamptz not null,
  created_at timestamptz not null,
  expires_at timestamptz not null
);

create index registrations_by_email on registrations (email_key, created_at desc, account desc);
create index registrations_by_expiry on registrations (expires_at);

-- When a mail was last sent to an address because somebody who is not signed in asked for it.
create table mailed_addresses (
  -- SHA-256 of the address.
  email_digest text primary key,
  mailed_at timestamptz not null
);

create index mailed_addresses_by_time on mailed_addresses (mailed_at);

-- Links with which another password can be chosen, also of addresses without an account: whether there is one is found out when the mail is sent.
create table password_resets (
  id text primary key,
  email_key text not null,
  -- SHA-256 of the link's token.
  token_hash bytea not null unique,
  created_at timestamptz not null,
  expires_at timestamptz not null
);

create index password_resets_by_email on password_resets (email_key);
create index password_resets_by_expiry on password_resets (expires_at);

-- Addresses are compared with their letters composed. Where two accounts become one address by that, the one that was registered first keeps it, and
-- the other keeps its key, with which nobody can sign in: `select id from accounts where email_key <> normalize(email_key)` lists them.
update accounts set email_key = normalize(email_key) where id in (
  select distinct on (normalize(email_key)) id from accounts order by normalize(email_key), status desc, created_at, id)
  and email_key <> normalize(email_key) and not exists (select from accounts other where other.email_key = normalize(accounts.email_key));

-- Accounts that were registered and not verified become registrations, now and while processes of the version before still make them. Who is signed
-- in with one must verify the address first.
alter table verifications drop constraint verifications_account_fkey;
alter table verifications add constraint verifications_account_fkey foreign key (account) references accounts on delete cascade;
alter table sessions drop constraint sessions_account_fkey;
alter table sessions add constraint sessions_account_fkey foreign key (account) references accounts on delete cascade;

create function register_unverified() returns trigger language plpgsql as $$
begin
  insert into registrations (account, email, email_key, name, password_hash, version, verification, code_expires_at, created_at, expires_at)
  select id, email, normalize(email_key), name, password_hash, version, new.id, new.expires_at, created_at, new.created_at + interval '1 day'
  from accounts where id = new.account and status = 'UNVERIFIED'
  on conflict (account) do update set version = registrations.version + 1, verification = excluded.verification,
    code_expires_at = excluded.code_expires_at, expires_at = excluded.expires_at;
  return new;
end $$;

create trigger register_unverified after insert on verifications for each row execute function register_unverified();

insert into registrations (account, email, email_key, name, password_hash, version, verification, code_expires_at, created_at, expires_at)
select distinct on (a.id) a.id, a.email, normalize(a.email_key), a.name, a.password_hash, a.version, v.id, v.expires_at, a.created_at,
  v.created_at + interval '1 day'
from accounts a join verifications v on v.account = a.id where a.status = 'UNVERIFIED' order by a.id, v.created_at desc, v.id desc;

delete from sessions using accounts where accounts.id = sessions.account and accounts.status = 'UNVERIFIED';
