-- What a category is found by when it is only named: its name without case. Null where a process of the version before has made it, and of names
-- with other letters than English ones, which PostgreSQL may not know how to write in lower case: those are found as they are written.
alter table categories add column name_key text;
update categories set name_key = lower(name) where name !~ '[^ -~]';

create index categories_by_name on categories (name_key);
create index categories_by_written_name on categories (name) where name_key is null;
