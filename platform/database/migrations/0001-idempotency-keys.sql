-- The answers given under an idempotency key. A row with neither an answer nor a refusal is a claim, and never seen outside of its transaction.
create table idempotency_keys (
  key text collate "C" primary key,
  fingerprint bytea not null,
  response bytea,
  refusal jsonb,
  created_at timestamptz not null,
  expires_at timestamptz not null
);

create index idempotency_keys_expiry on idempotency_keys (expires_at);
