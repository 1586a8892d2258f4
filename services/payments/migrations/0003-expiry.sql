-- From then on nobody can begin to pay it. Null where it was opened by a version that knew no such time.
alter table payments add column expires_at timestamptz;
