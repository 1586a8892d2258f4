-- Who holds a reservation, so that nobody reserves everything without paying: the account that ordered, and the pseudonym of the address that it
-- ordered from, which is kept while the reservation is HELD. Null for what an older version writes.
alter table reservations add column account text, add column origin text, add column units int not null default 0;

create index reservations_by_account on reservations (account) include (units) where status = 'HELD' and account is not null;
create index reservations_by_origin on reservations (origin) include (units) where status = 'HELD' and origin is not null;
