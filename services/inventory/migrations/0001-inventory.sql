create table stock (
  sku text primary key,
  on_hand int not null,
  reserved int not null,
  version int not null,
  updated_at timestamptz not null,
  -- The last guard: whatever the code does, no unit is promised that is not there.
  check (reserved between 0 and on_hand)
) with (fillfactor = 50);

-- The ledger: a SKU's on_hand is the sum of its movements.
create table movements (
  id text primary key,
  sku text not null,
  kind text not null check (kind in ('RECEIVED', 'WRITTEN_OFF', 'CLAIMED', 'RETURNED')),
  quantity int not null check (quantity <> 0),
  note text not null,
  order_id text not null,
  actor text not null,
  at timestamptz not null
);

create index movements_by_sku on movements (sku, at desc, id desc);

create table reservations (
  order_id text primary key,
  -- CLOSED: the order was cancelled, or its claim refused; whatever comes late or again for it moves nothing.
  status text not null check (status in ('HELD', 'REFUSED', 'SOLD', 'FREED', 'CLOSED')),
  -- [{"sku", "quantity"}], a SKU once
  lines jsonb not null,
  -- Why it was refused: a repeat gets the same refusal.
  refusal jsonb,
  expires_at timestamptz not null,
  updated_at timestamptz not null
);

create index reservations_held on reservations (expires_at) where status = 'HELD';
