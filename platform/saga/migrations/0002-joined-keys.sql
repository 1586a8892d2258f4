-- A key whose caller got the result of another saga, because that one had the subject: a row of its own, so that one index claims every key once. `joins` is
-- that saga. The row is DONE with the reply that the caller got, or JOINED: then the result is however that saga ends.
alter table sagas add column joins text references sagas (id) on delete cascade;
create index sagas_joins on sagas (joins) where joins is not null;
-- The check only became wider: the rows that there are need not be read again under its lock.
alter table sagas drop constraint sagas_status_check;
alter table sagas add constraint sagas_status_check check (status in ('RUNNING', 'UNDOING', 'DONE', 'REFUSED', 'JOINED')) not valid;
