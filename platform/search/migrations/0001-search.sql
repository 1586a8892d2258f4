create table search_documents (
  index_name text collate "C" not null,
  id text collate "C" not null,
  version bigint not null,
  title_words integer not null,
  numbers jsonb not null,
  keywords jsonb not null,
  terms tsvector not null,
  primary key (index_name, id)
);

-- Of a row that is too long for its page only the terms may be stored outside.
alter table search_documents
  alter column index_name set storage plain,
  alter column id set storage plain,
  alter column terms set storage external,
  alter column numbers set storage main,
  alter column keywords set storage main;

-- No pending list: every query would read all of it until the next vacuum.
create index search_documents_terms on search_documents using gin (terms) with (fastupdate = off);

-- The words of documents, each with the forms that remain when a few letters are left out, to correct spelling by.
create table search_words (
  index_name text collate "C" not null,
  word text collate "C" not null,
  deletions text[] collate "C" not null,
  primary key (index_name, word)
);

create index search_words_deletions on search_words using gin (deletions) with (fastupdate = off);
