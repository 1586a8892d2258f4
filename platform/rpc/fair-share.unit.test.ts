import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FairShare } from "./fair-share.ts";
import type { Holder } from "./fair-share.ts";

function open(options: ConstructorParameters<typeof FairShare>[0]) {
  const places = new FairShare(options);
  const ended: string[] = [];
  const holder = (account: string | undefined, origin: string | undefined): Holder => ({
    client: { account, origin },
    end: () => void ended.push(`${account} ${origin}`),
  });
  const take = (account: string | undefined, origin: string | undefined) => places.take(holder(account, origin));
  return { places, ended, holder, take };
}

describe("fair share", () => {
  it("S16: one account gets its maximum, and nobody is ended for it", () => {
    const { take, ended } = open({ max: 1_000, ofAccountMax: 20 });
    const taken = Array.from({ length: 100 }, (_, nth) => take("usr_1", `address ${nth}`)).filter(Boolean).length;
    assert.deepEqual([taken, ended], [20, []]);
  });

  it("S16: a newcomer gets a place of the address that has most, whichever accounts it uses, until they have as many", () => {
    const { take, ended } = open({ max: 100, ofAccountMax: 10 });
    for (let nth = 0; nth < 150; nth++) take(`usr_${nth % 30}`, "hostile");
    assert.equal(ended.length, 0, "it ends none of its own for more of its own");
    for (let nth = 0; nth < 10; nth++) assert.equal(take("usr_ann", "ann"), true);
    assert.equal(take("usr_ann", "ann"), false, "that is her maximum");
    for (let nth = 0; nth < 20; nth++) assert.equal(take("usr_bo", `bo ${nth}`), nth < 10);
    assert.deepEqual([ended.length, ended.every((one) => one.endsWith(" hostile"))], [20, true]);
    assert.equal(take("usr_more", "hostile"), true, "its own accounts take turns");
    assert.equal(ended.at(-1)?.endsWith(" hostile"), true);
  });

  it("S16: of the accounts behind one address, the one that has most gives way", () => {
    const { take, ended } = open({ max: 12, ofAccountMax: 10 });
    for (let nth = 0; nth < 10; nth++) take("usr_greedy", "office");
    for (let nth = 0; nth < 5; nth++) assert.equal(take("usr_ann", "office"), true);
    assert.deepEqual(ended, Array(3).fill("usr_greedy office"));
    assert.equal(take("usr_greedy", "office"), false);
  });

  it("a service of the shop always gets one, and what was given to another is not given back", () => {
    const { places, take, ended, holder } = open({ max: 2, ofAccountMax: 5 });
    const first = holder("usr_1", "here");
    assert.deepEqual([places.take(first), take("usr_1", "here")], [true, true]);
    assert.equal(take(undefined, undefined), true);
    assert.deepEqual(ended, ["usr_1 here"]);
    places.give(first);
    assert.equal(take("usr_2", "there"), false, "all have one");
    const service = open({ max: 1, ofAccountMax: 1 });
    assert.equal(service.take(undefined, undefined), true);
    assert.equal(service.take("usr_1", "here"), false);
  });
});
