-- To delete sessions that nobody has paid. One that is paid leaves it.
create index sessions_unpaid on sessions (created_at) where status in ('open', 'declined', 'closed');
