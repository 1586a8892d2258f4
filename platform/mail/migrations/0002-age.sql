-- To delete the oldest.
create index mails_by_age on mails (received_at);
