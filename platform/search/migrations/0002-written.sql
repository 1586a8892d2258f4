-- Rises with every writing, so that a rebuild can tell what has been written since it began.
create sequence search_writings;

alter table search_documents add column written bigint not null default 0;
