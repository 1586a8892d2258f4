create table categories (
  id text primary key,
  version int not null,
  name text not null,
  slug text not null unique,
  parent text references categories,
  position int not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);

create index categories_in_order on categories (coalesce(parent, ''), position, name, id);
create index categories_by_parent on categories (parent);

-- A product as its last event carries it: `state` is that event's Product. The columns beside it are what SQL filters and sorts by.
create table products (
  id text primary key,
  version int not null,
  status text not null check (status in ('DRAFT', 'PUBLISHED', 'ARCHIVED')),
  handle text not null unique,
  vendor text not null,
  tags text[] not null,
  state bytea not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);

create index products_newest on products (created_at desc, id);
create index products_newest_of_status on products (status, created_at desc, id);
create index products_by_vendor on products (vendor, created_at desc, id);
create index products_by_tag on products using gin (tags) with (fastupdate = off);

create table variants (
  sku text primary key,
  id text not null,
  product text not null references products on delete cascade,
  title text not null,
  currency char(3) not null,
  price bigint not null check (price >= 0),
  -- Whether it is the one by whose price its product is sorted in this currency.
  cheapest boolean not null
);

create index variants_by_product on variants (product);
create index variants_by_price on variants (currency, price, product);
create index variants_cheapest on variants (currency, price, product) where cheapest;

create table product_categories (
  product text not null references products on delete cascade,
  category text not null references categories,
  primary key (product, category)
);

create index product_categories_by_category on product_categories (category, product);

-- A copy of inventory's figures, for lists. It decides nothing.
create table availability (
  sku text primary key,
  available int not null,
  version int not null
);
