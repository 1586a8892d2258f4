import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import { createPasswords, nobodys } from "./passwords.ts";

describe("identity: passwords", () => {
  it("ID-02, S9: an unknown account's password is checked against a hash that costs as much as a real one", async () => {
    const passwords = createPasswords();
    const stored = await passwords.hash("a good password");
    const costOf = (hash: string) => hash.split("$").map((part, at) => (at < 4 ? part : part.length));
    assert.deepEqual(costOf(nobodys), costOf(stored));
    assert.equal(await passwords.matches(stored, "a good password"), true);
    assert.equal(await passwords.matches(stored, "a bad password"), false);
    assert.equal(await passwords.matches(undefined, "a good password"), false);
  });

  it("ID-03: the same password is never stored the same", async () => {
    const passwords = createPasswords();
    const [one, other] = await Promise.all([passwords.hash("a good password"), passwords.hash("a good password")]);
    assert.match(one, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    assert.notEqual(one, other);
  });

  it("S9: past a hundred that wait it refuses at once, and works again afterwards", async () => {
    const passwords = createPasswords();
    // A stored value that is no hash fails at once: it takes its turn without the cost.
    const outcomes = await Promise.allSettled(Array.from({ length: 110 }, () => passwords.matches("no hash", "a good password")));
    const refused = outcomes.filter((outcome) => outcome.status === "rejected" && refusalIn(outcome.reason)?.reason === "OVERLOADED");
    assert.ok(refused.length === 8 || refused.length === 9, `${refused.length}, by the number of cores`);
    assert.equal(await passwords.matches(undefined, "a good password"), false);
  });

  it("S9: 130 registrations of one address delay no sign-in, and no registration of another beyond its turn", async () => {
    const passwords = createPasswords();
    const forever = { deadlineMs: Infinity };
    const hostile = Array.from({ length: 130 }, () =>
      passwords.hash("a good password", { ...forever, origin: "hostile" }).then(
        () => "hashed",
        (error: unknown) => refusalIn(error)?.reason,
      ),
    );
    const done: string[] = [];
    const others = Array.from({ length: 5 }, async () => {
      await passwords.matches(undefined, "a good password", { ...forever, origin: "other" });
      done.push("signed in");
    });
    const registered = passwords.hash("a good password", { ...forever, origin: "other" }).then(() => done.push("registered"));
    void Promise.all(hostile).then(() => done.push("hostile"));
    await Promise.all([...others, registered]);
    assert.equal(done.includes("hostile"), false, "they wait for nobody who came before them");
    const outcomes = await Promise.all(hostile);
    assert.ok(outcomes.includes("OVERLOADED") && outcomes.includes("hashed"));
  });

  it("S9: what is past its deadline is dropped without the work", async () => {
    const passwords = createPasswords();
    const first = passwords.hash("a good password");
    const late = passwords.hash("a good password", { deadlineMs: 0, origin: undefined });
    await assert.rejects(late, (error) => refusalIn(error)?.reason === "OVERLOADED");
    await first;
  });
});
