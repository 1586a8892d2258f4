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

-- Of a row that is too long for its page only the terms may be put elsewhere.
alter table search_documents
  alter column index_name set storage plain,
  alter column id set storage plain,
  alter column terms set storage external,
  alter column numbers set storage main,
  alter column keywords set storage main;

-- No pending list: it would be read through by every query until the next vacuum.
create index search_documents_terms on search_documents using gin (terms) with (fastupdate = off);

-- The words that documents hold, each with what is left of it when a few letters are left out: how typing errors are mended.
create table search_words (
  index_name text collate "C" not null,
  word text collate "C" not null,
  remains text[] collate "C" not null,
  primary key (index_name, word)
);

create index search_words_remains on search_words using gin (remains) with (fastupdate = off);
