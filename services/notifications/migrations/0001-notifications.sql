-- The messages to customers. Their text is made when a message is sent and stored nowhere.
create table notifications (
  id text primary key,
  account text not null,
  kind text not null,
  subject text not null,
  created_at timestamptz not null,
  sent_at timestamptz,
  -- The task that sent it: the mail's Message-ID.
  task text,
  -- The event that caused it: one message each, however often and however late it is delivered again.
  event text unique
);

create index notifications_by_account on notifications (account, created_at desc, id desc);
