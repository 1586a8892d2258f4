-- A page of the orders of one status, however rare it is; a page of all orders is merged from those of each status. So it takes the place of the
-- index by time alone, and an order that is placed is still written to three indexes. A change of the status is no heap-only update any more.
create index orders_by_status on orders (status, created_at desc, id desc);
drop index orders_by_time;
