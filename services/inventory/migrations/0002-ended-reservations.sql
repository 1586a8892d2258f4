-- To delete what has ended long ago. Reservations that are held or sold are not in it, so an order that is placed and paid does not write to it.
create index reservations_ended on reservations (updated_at) where status in ('REFUSED', 'FREED', 'CLOSED');
