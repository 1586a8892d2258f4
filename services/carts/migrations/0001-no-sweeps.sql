-- Expired carts are swept with everything else that is: nobody takes this task any more.
delete from tasks where queue = 'sweep-carts';
