-- Whether the figure bounds what can be ordered. Processes of the version before show the figure of all.
alter table availability add column counted boolean not null default true;
