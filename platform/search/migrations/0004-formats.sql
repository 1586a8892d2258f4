-- By which rules a document's words were made: those of an older format are put into the index again. Processes of the version before write the first.
alter table search_documents add column format integer not null default 1;

create index search_documents_outdated on search_documents (index_name) where format < 2;
