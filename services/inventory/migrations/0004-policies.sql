-- Whether orders may have more units than there are. Processes of the version before read no policy and refuse such orders, as they always did.
alter table stock add column policy text not null default 'COUNTED' check (policy in ('COUNTED', 'BACKORDER', 'NOT_COUNTED'));

-- What was promised beyond the units that there were, when a SKU began to be counted again: from then on no more.
alter table stock add column floor int not null default 0 check (floor <= 0);

-- The last guard, as before for what is counted: whatever the code does, no unit is promised that is not there.
alter table stock drop constraint stock_check;
alter table stock add constraint stock_promised check (reserved >= 0 and (policy <> 'COUNTED' or on_hand - reserved >= floor)) not valid;
alter table stock validate constraint stock_promised;
