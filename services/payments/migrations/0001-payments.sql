create table payments (
  id text primary key,
  version int not null,
  order_id text not null,
  customer text not null,
  -- VOID: the tombstone of a payment that must never be opened.
  status text not null check (status in ('OPEN', 'CAPTURED', 'CLOSED', 'REFUNDED', 'VOID')),
  currency char(3) not null,
  amount bigint not null check (amount >= 0),
  captured bigint not null check (captured in (0, amount)),
  refunded bigint not null check (refunded between 0 and captured),
  secret text unique,
  -- Records of tries and refunds, in the payment's own row so that its lock shows them all as they are.
  attempts jsonb not null,
  refunds jsonb not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
) with (fillfactor = 70);

create index payments_by_order on payments (order_id);
