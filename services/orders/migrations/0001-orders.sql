-- An order as its last event carries it. `state` is that event's OrderState; the columns beside it are what SQL filters and sorts by.
create table orders (
  id text primary key,
  version int not null check (version >= 0),
  -- VOID: the tombstone of an order that was voided before it was made.
  status text not null check (status in ('PENDING', 'PAID', 'COMPLETED', 'CANCELLED', 'VOID')),
  customer text not null,
  currency char(3) not null,
  total bigint not null check (total >= 0),
  payment text not null,
  payment_secret text not null,
  state bytea not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);

create index orders_by_customer on orders (customer, created_at desc, id desc);
create index orders_by_time on orders (created_at desc, id desc);

-- The legal paths, enforced by the database too: whatever the code does, an order never leaves CANCELLED or COMPLETED.
create function guard_order_status() returns trigger language plpgsql as $$
begin
  if old.status <> new.status and not (
    (old.status = 'PENDING' and new.status in ('PAID', 'CANCELLED')) or
    (old.status = 'PAID' and new.status in ('COMPLETED', 'CANCELLED'))
  ) then
    raise exception 'order % cannot go from % to %', old.id, old.status, new.status using errcode = 'check_violation';
  end if;
  return new;
end $$;

create trigger orders_status before update of status on orders for each row when (old.status is distinct from new.status) execute function guard_order_status();
