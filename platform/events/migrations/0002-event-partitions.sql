-- A broker carries a log in parts. Each part of a subscription has a row of its own, "orders.claims#3", with lease, place and counters; while it
-- has them, the subscription's own row (parts > 0) stands still where they began and is leased to nobody.
alter table subscriptions add column parts int not null default 0;
-- Where the place is on the way on which the events come: the topic's id and an offset in it. A row "kontor.relay" is a publisher's own: how far
-- its log has been relayed.
alter table subscriptions add column mark text not null default '';

-- The processes that share the parts of these subscriptions.
create table subscription_members (
  owner text primary key,
  subscriptions text[] not null,
  until timestamptz not null
);

-- At how many attempts a parked event was last made known as a dead letter.
alter table parked_events add column announced int not null default 0;
