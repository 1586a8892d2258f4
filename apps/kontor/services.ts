// All services of Kontor, a line each. What the app knows of a service, such as its routes, databases, variables and channels, follows from its
// definition; its code is loaded only where it runs. This file exports nothing else.
export { carts } from "@kontor/carts";
export { catalog } from "@kontor/catalog";
export { checkout } from "@kontor/checkout";
export { identity } from "@kontor/identity";
export { inventory } from "@kontor/inventory";
export { notifications } from "@kontor/notifications";
export { orders } from "@kontor/orders";
export { payments } from "@kontor/payments";
