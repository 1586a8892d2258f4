-- What has changed in an index, one row a statement, so that processes can keep copies of its documents up to date. The revision rises by the number
-- of changed documents, in the order in which the changes commit.
create table search_revisions (
  index_name text collate "C" not null,
  revision bigint not null,
  -- Distinguishes it from one of the same number that was lost when a standby took over, or a backup was restored.
  tag uuid not null,
  -- Null for too many to name: whoever has a copy reads all documents again.
  ids text[] collate "C",
  primary key (index_name, revision)
);

-- A trigger, because a change that is not recorded would never reach the copies: whoever makes it, also in an older version of this code.
create function search_record_revision() returns trigger language plpgsql as $$
declare
  change record;
  latest bigint;
begin
  for change in select index_name, count(*) as documents, array_agg(id) as ids from changed group by index_name order by index_name loop
    -- Held until the commit, which follows at once: a later revision must not be visible before an earlier one.
    perform pg_advisory_xact_lock(hashtextextended('search_revisions ' || change.index_name, 0));
    select coalesce(max(revision), 0) + change.documents into latest from search_revisions where index_name = change.index_name;
    insert into search_revisions (index_name, revision, tag, ids)
    values (change.index_name, latest, gen_random_uuid(), case when change.documents <= 1000 then change.ids end);
    delete from search_revisions where index_name = change.index_name and revision <= latest - 10000;
  end loop;
  return null;
end $$;

create trigger search_documents_inserted after insert on search_documents
  referencing new table as changed for each statement execute function search_record_revision();
create trigger search_documents_updated after update on search_documents
  referencing new table as changed for each statement execute function search_record_revision();
create trigger search_documents_deleted after delete on search_documents
  referencing old table as changed for each statement execute function search_record_revision();

-- A row's number names its content from now on.
update search_documents set written = nextval('search_writes') where written = 0;
