// What a process of the bench that startChild has started does.

/** Does what its parent tells it, one after the other, and answers; first it says that it is ready. */
export function serveParent(ready: object, execute: (order: never) => Promise<unknown>): void {
  process.on("message", (order) => {
    execute(order as never).then(
      (answer) => process.send?.({ answer }),
      (error: unknown) => process.send?.({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    );
  });
  process.send?.({ ready });
}
