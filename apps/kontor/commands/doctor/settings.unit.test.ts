import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { checkNode } from "./check-machine.ts";
import { settingsTable } from "./settings.ts";

describe("the doctor", () => {
  it("S21: shows every setting with its source, and of secrets nothing", () => {
    const text = settingsTable({
      KONTOR_MASTER_KEY: "canary",
      KONTOR_SMTP_URL: "smtp://user:canary@mail.example",
      KONTOR_PORT: "4100",
      KONTOR_SHOP_NAME: "A\u001b[2JB",
    });
    assert.doesNotMatch(text, /canary|\u001b/);
    assert.match(text, /^KONTOR_MASTER_KEY +\(hidden\) +environment/m);
    assert.match(text, /^KONTOR_SMTP_URL +smtp:\/\/\(hidden\)@mail\.example +environment/m);
    assert.match(text, /^KONTOR_PORT +4100 +environment/m);
    assert.match(text, /^KONTOR_MAILBOX_PORT +4001 +default/m);
    assert.match(text, /^KONTOR_PUBLIC_URL +\(not set\)/m);
    assert.match(settingsTable({ KONTOR_MASTER_KEY_FILE: "/run/key" }), /^KONTOR_MASTER_KEY +\(hidden\) +file \/run\/key/m);
  });

  it("wants a Node that runs the sources", () => {
    assert.equal(checkNode("24.21.0").verdict, "ok");
    const old = checkNode("20.20.2");
    assert.deepEqual([old.verdict, old.text], ["wrong", "20.20.2 is too old"]);
  });
});
