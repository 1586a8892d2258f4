import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { importCycles } from "./import-cycles.ts";
import { readSources } from "./sources.ts";

const found = (files: Readonly<Record<string, string>>) =>
  importCycles(Object.entries(files).map(([path, text]) => ({ path, text }))).map(({ message }) => message);

describe("import cycles", () => {
  it("DEV-04: there are none here, type-only ones included", () => {
    assert.deepEqual(importCycles(readSources("ts")), []);
  });

  it("DEV-04: sees circles of files, also of types, and of the platform's folders", () => {
    assert.deepEqual(
      found({
        "gateway/a.ts": 'import { b } from "./b.ts";',
        "gateway/b.ts": 'import type { C } from "./deeper/c.ts";',
        "gateway/deeper/c.ts": 'import type { A } from "../a.ts";',
      }),
      ["imports itself: gateway/a.ts -> gateway/b.ts -> gateway/deeper/c.ts -> gateway/a.ts"],
    );
    assert.deepEqual(
      found({
        "platform/rpc/a.ts": 'import { b } from "../call/b.ts";',
        "platform/call/b.ts": "export const b = 1;",
        "platform/call/c.ts": 'import type { D } from "../rpc/d.ts";',
        "platform/rpc/d.ts": "export type D = 1;",
      }),
      ["imports itself: platform/rpc -> platform/call -> platform/rpc"],
    );
  });

  it("has nothing against straight lines, and tests that open what they test with", () => {
    assert.deepEqual(
      found({
        "platform/rpc/a.ts": 'import { b } from "../call/b.ts";',
        "platform/call/b.ts": "export const b = 1;",
        "platform/call/b.int.test.ts": 'import { a } from "../rpc/a.ts";',
      }),
      [],
    );
  });
});
