-- Sent: given to a broker under the row's fence, and begun by nobody yet. Whoever receives the message begins the task.
alter table tasks add column sent boolean not null default false;
