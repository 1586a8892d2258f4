import assert from "node:assert/strict";
import { it } from "node:test";
import { stopWithParent } from "./stop-with-parent.ts";

it("stops a process once when it has another parent than at its start", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const child = { ppid: 10 };
  let stops = 0;
  stopWithParent(() => stops++, 10, child);
  t.mock.timers.tick(1_000);
  assert.equal(stops, 0);
  child.ppid = 1;
  t.mock.timers.tick(1_000);
  assert.equal(stops, 1);
});

it("stops a process whose parent had ended before the watch began", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  let stops = 0;
  stopWithParent(() => stops++, 10, { ppid: 1 });
  t.mock.timers.tick(250);
  assert.equal(stops, 1);
});
