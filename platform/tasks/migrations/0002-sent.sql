-- Sent: published to a broker under the row's fence, and not begun yet. The process that receives the message begins the task.
alter table tasks add column sent boolean not null default false;
