-- The mails of a registration before its newest: their codes stay good until they expire, so that nobody makes the owner's code invalid by asking for
-- another one.
alter table registrations add column older text[] not null default '{}';
