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

-- A product as its last event told it: `state` is that event's Product. The columns beside it are what SQL asks for.
create table products (
  id text primary key,
  version int not null,
  status text not null check (status in ('DRAFT', 'PUBLISHED', 'ARCHIVED')),
  handle text not null unique,
  state bytea not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);

create table variants (
  sku text primary key,
  id text not null,
  product text not null references products on delete cascade,
  title text not null,
  currency char(3) not null,
  price bigint not null check (price >= 0)
);

create index variants_by_product on variants (product);

create table product_categories (
  product text not null references products on delete cascade,
  category text not null references categories,
  primary key (product, category)
);

create index product_categories_by_category on product_categories (category);

-- A copy of inventory's figures, for lists. It decides nothing.
create table availability (
  sku text primary key,
  available int not null,
  version int not null
);
