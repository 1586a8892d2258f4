create table mails (
  message_id  text primary key,
  -- Mails are stored by one statement at a time, so positions become visible in order.
  position    bigint generated always as identity unique,
  sender      text not null,
  recipients  text[] not null,
  subject     text not null,
  received_at timestamptz not null,
  size        integer not null generated always as (length(raw)) stored,
  raw         bytea not null
);

create index mails_recipients on mails using gin (recipients);
