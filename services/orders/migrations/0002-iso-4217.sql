-- Amounts are in the minor units of ISO 4217 from now on. Before, they were in those of the runtime's locale data, which has no decimals for these
-- currencies. Events, documents, sagas and stored replies have amounts as decimal text, whose value is the same by either.

-- Whether the row's amounts are in minor units of ISO 4217. An earlier release that still runs does not say so: in these currencies its rows are
-- refused, because they would be read as a hundredth of what they are worth.
alter table orders add column iso_4217 boolean not null default false;

update orders set
  total = total * case currency when 'IQD' then 1000 else 100 end,
  iso_4217 = true
where currency in ('AFN', 'ALL', 'COP', 'HUF', 'IDR', 'IQD', 'IRR', 'KPW', 'LAK', 'LBP', 'MGA', 'MMK', 'PKR', 'SLL', 'SOS', 'SYP', 'YER');

alter table orders add constraint orders_iso_4217 check (
  iso_4217 or currency not in ('AFN', 'ALL', 'COP', 'HUF', 'IDR', 'IQD', 'IRR', 'KPW', 'LAK', 'LBP', 'MGA', 'MMK', 'PKR', 'SLL', 'SOS', 'SYP', 'YER')
);
