-- A broker divides a log into partitions. Each partition of a subscription has a row of its own, "orders.claims#3", with lease, checkpoint and
-- counters; meanwhile the subscription's own row (partitions > 0) keeps the position where they began and is leased to nobody.
alter table subscriptions add column partitions int not null default 0;
-- The broker's part of the checkpoint: the topic's id and the next offset in the partition. The row "kontor.relay" is a publisher's own: how far
-- its log has been relayed, with the end offset of every partition.
alter table subscriptions add column offsets text not null default '';

-- The processes that share the partitions of these subscriptions.
create table subscription_members (
  owner text primary key,
  subscriptions text[] not null,
  until timestamptz not null
);

-- At how many attempts a parked event was last announced as a dead letter.
alter table parked_events add column announced int not null default 0;
