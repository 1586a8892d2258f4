// What a process of the bench that startChild has started does.

/**
 * Executes its parent's commands, one after the other, and responds to each; first it says that it is ready. When the parent has ended it calls `end`,
 * by default the exit of the process. Ctrl-C in a terminal reaches this process too, and is left to the parent.
 */
export function serveParent(ready: object, execute: (order: never) => Promise<unknown>, end: () => unknown = () => process.exit()): void {
  process.on("SIGINT", () => undefined);
  process.once("disconnect", end);
  process.on("message", (order) => {
    execute(order as never).then(
      (answer) => process.send?.({ answer }),
      (error: unknown) => process.send?.({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    );
  });
  process.send?.({ ready });
}
