/** The services of the house, in the order in which they are told of. */
export const serviceNames = ["identity", "catalog", "inventory", "carts", "checkout", "orders", "payments", "notifications"] as const;

export type ServiceName = (typeof serviceNames)[number];

/** What else a process can be: the way in, the mail catcher, the built-in payment provider. */
export const otherRoles = ["gateway", "mailbox", "provider"] as const;

/** A part of the house that can run in a process of its own. */
export type Role = ServiceName | (typeof otherRoles)[number];

export const allRoles: readonly Role[] = [...serviceNames, ...otherRoles];

/** Those with a database. */
export const databaseNames = [...serviceNames, "mailbox", "provider"] as const;

export type DatabaseName = (typeof databaseNames)[number];
