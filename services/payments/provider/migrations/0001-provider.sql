-- The ledger of the built-in payment provider. Amounts are in minor units of their currency.

create table sessions (
  -- The merchant's own name of it: what every call is idempotent by.
  key text primary key,
  -- The secret in its payment page's address. Null for a tombstone: it was closed before it was opened, and has none of the columns below either.
  page text unique,
  -- What the merchant calls the thing that is paid.
  reference text not null,
  status text not null check (status in ('open', 'processing', 'succeeded', 'declined', 'closed')),
  currency char(3),
  amount bigint check (amount >= 0),
  -- Where the shopper's browser goes afterwards.
  return_url text not null,
  -- Why it was declined; empty otherwise.
  decline_code text not null,
  -- All that is stored of a card.
  card_last4 text check (card_last4 ~ '^[0-9]{4}$'),
  -- While it is processing: when it will be decided, and how.
  settles_at timestamptz,
  settles_to text check (settles_to in ('succeeded', 'declined')),
  created_at timestamptz not null,
  -- When its status last changed.
  updated_at timestamptz not null,
  check ((status = 'processing') = (settles_at is not null) and (settles_at is null) = (settles_to is null)),
  check (page is null or (currency is not null and amount is not null)),
  check (status = 'closed' or page is not null)
) with (fillfactor = 70);

create index sessions_settling on sessions (settles_at) where settles_at is not null;

-- Money taken: one row for each session that succeeded, written in the statement that decided it. Without foreign keys, which are
-- a query for each row: the rows are made from the session's own.
create table charges (
  -- ch_…, in the order of time.
  id text collate "C" primary key,
  -- The last guard: whatever the code does, a session is charged once.
  session_key text not null unique,
  reference text not null,
  currency char(3) not null,
  amount bigint not null check (amount >= 0),
  -- The sum of its refunds that succeeded: never more than was taken.
  refunded bigint not null check (refunded between 0 and amount),
  at timestamptz not null
) with (fillfactor = 90);

-- Money refunded, or refused to be: one row for each refund key.
create table refunds (
  -- rf_…, in the order of time.
  id text collate "C" primary key,
  -- The merchant's own name of it.
  key text not null unique,
  session_key text not null,
  reference text not null,
  status text not null check (status in ('succeeded', 'failed')),
  currency char(3) not null,
  amount bigint not null check (amount > 0),
  at timestamptz not null
);

-- Webhooks for the merchant: each written in the statement of what it reports.
create table webhooks (
  -- The webhook-id: the same each time that it is sent.
  id text collate "C" primary key,
  session_key text not null,
  type text not null check (type in ('session.succeeded', 'session.declined', 'refund.succeeded')),
  -- How often it is sent: 1, unless a test card or a fault wants otherwise; 0 is never.
  times int not null check (times between 0 and 5),
  -- When the thing happened.
  at timestamptz not null,
  -- Attempts that failed.
  attempts int not null default 0,
  -- When it is sent next; null when it was delivered, has failed for good, or is never to be sent.
  due_at timestamptz,
  delivered_at timestamptz,
  -- What went wrong at the last attempt that failed.
  problem text not null default ''
) with (fillfactor = 80);

create index webhooks_due on webhooks (due_at) where due_at is not null;
