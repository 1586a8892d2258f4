-- Rises with every write, so that a rebuild can distinguish what was written since it began.
create sequence search_writes;

alter table search_documents add column written bigint not null default 0;
