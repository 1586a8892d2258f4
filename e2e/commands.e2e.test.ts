import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";
import { commandCases } from "./command-cases.ts";
import type { CommandCase } from "./command-cases.ts";
import { allOperations, pathOf } from "./operations.ts";
import type { Operation } from "./operations.ts";
import { openShopWithData } from "./shop-with-data.ts";
import type { ShopWithData } from "./shop-with-data.ts";
import type { Answer, Shopper } from "./shopper.ts";

// Every operation of the contracts that writes, or leads to a write, over REST. The headers of a raw body are its sender's own: a provider's webhook has no key of ours.
const commands = allOperations.filter(({ contract }) => !contract.reads && contract.rest?.rawBody !== true);
const taking = commands.filter(({ contract }) => contract.keys !== "refused");
const refusing = commands.filter(({ contract }) => contract.keys === "refused");
const versioned = commands.filter(({ contract }) => contract.takesVersion);

const is2xx = ({ status }: Answer): boolean => status < 400;
const outcome = ({ status, body }: Answer) => (status < 400 ? "ok" : `${status} ${body.reason}`);

describe("every command of the contracts", () => {
  let fixture: ShopWithData;
  let cases: ReturnType<typeof commandCases>;

  before(async () => {
    const customers: Shopper[] = [];
    fixture = await openShopWithData({
      prepare: async (operator, shop) => void customers.push(...(await operator.shoppers(shop, 20))),
    });
    let taken = 0;
    cases = commandCases({ ...fixture, nextCustomer: () => customers[taken++ % customers.length]! });
  });

  /** A case of the operation, with the requests that it is about. */
  async function open(operation: Operation) {
    const make = cases[operation.name];
    assert.ok(make !== undefined, `${operation.name} has no case in command-cases.ts`);
    const one = await make();
    const send = (change: Partial<Pick<CommandCase, "ids" | "json">> & { readonly key?: string }): Promise<Answer> => {
      const { ids, json } = { ...one, ...change };
      return one.who.call(operation.binding.verb, pathOf(operation, ids), {
        ...(json !== undefined && { json }),
        ...(change.key !== undefined && { key: change.key }),
      });
    };
    return { ...one, send };
  }

  it("has a case, and no case is left over", () => {
    assert.deepEqual(Object.keys(cases).toSorted(), taking.map(({ name }) => name).toSorted());
  });

  for (const operation of taking) {
    const { keys } = operation.contract;

    it(`ORD-04 R5: ${operation.name} has one effect under one key, and gives the same answer`, async () => {
      const { send, effect, ids } = await open(operation);
      const key = randomUUID();
      const [before, first] = [await effect(ids), await send({ key })];
      assert.ok(is2xx(first), first.text);
      const once = await effect(ids);
      if (keys !== "unneeded") assert.notDeepEqual(once, before, "the case has an effect");
      const both = await Promise.all([send({ key }), send({ key })]);
      for (const again of both) {
        assert.deepEqual([again.status, again.text], [first.status, first.text]);
        assert.equal(again.headers.get("location"), first.headers.get("location"));
      }
      assert.deepEqual(await effect(ids), once);
    });

    it(`R5 S12: ${operation.name} refuses the key with another body, and for another resource has ${keys === "reply" ? "no" : "its own"} effect`, async () => {
      const { send, effect, ids, other, elsewhere } = await open(operation);
      const key = randomUUID();
      const [first, second] = await Promise.all([send({ key }), other === undefined ? undefined : send({ key, json: other })]);
      if (second !== undefined) assert.deepEqual([first, second].map(outcome).toSorted(), ["422 IDEMPOTENCY_KEY_REUSED", "ok"]);
      else assert.ok(is2xx(first), first.text);
      if (elsewhere === undefined) return;
      const before = await effect(elsewhere.ids);
      const [moved, again] = [await send({ key, ...elsewhere }), await send({ key, ...elsewhere })];
      if (keys !== "reply") return assert.deepEqual([moved, again].map(outcome), ["ok", "ok"], moved.text);
      assert.deepEqual([moved, again].map(outcome), Array(2).fill("422 IDEMPOTENCY_KEY_REUSED"));
      assert.deepEqual(await effect(elsewhere.ids), before);
      assert.notDeepEqual(await effect(ids), before);
    });
  }

  for (const operation of refusing)
    it(`S12: ${operation.name} takes no key, and says so`, async () => {
      const { admin } = fixture;
      const answer = await admin.call(operation.binding.verb, pathOf(operation, fixture.ids), {
        ...(operation.takesJson && { json: {} }),
        key: randomUUID(),
      });
      assert.deepEqual([outcome(answer), answer.body.errors[0].field], ["400 INVALID_REQUEST", "Idempotency-Key"]);
    });

  for (const operation of versioned)
    it(`CON-06: ${operation.name} is for the version that its caller has seen, and of two at once one wins`, async () => {
      const { send, effect, ids, json, other, version } = await open(operation);
      const at = (body: CommandCase["json"], seen: number | undefined) => send({ json: { ...body, version: seen }, key: randomUUID() });
      const before = await effect(ids);
      assert.equal(outcome(await at(json, version! + 1)), "409 VERSION_CONFLICT");
      assert.deepEqual(await effect(ids), before);
      const both = await Promise.all([at(json, version), at({ ...other }, version)]);
      assert.deepEqual(both.map(outcome).toSorted(), ["409 VERSION_CONFLICT", "ok"]);
      const after = await effect(ids);
      assert.equal(outcome(await at(json, version)), "409 VERSION_CONFLICT");
      assert.deepEqual(await effect(ids), after);
    });
});
