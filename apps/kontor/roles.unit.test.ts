import assert from "node:assert/strict";
import { registerHooks } from "node:module";
import { describe, it } from "node:test";

const loaded: string[] = [];
registerHooks({
  load(url, context, nextLoad) {
    loaded.push(url);
    return nextLoad(url, context);
  },
});
// After the hooks, so that they see what it loads.
const { definitions, serviceNames } = await import("./roles.ts");

const codeOf = (service: string) => loaded.filter((url) => url.includes(`/services/${service}/src/`)).map((url) => url.split("/src/")[1]);

describe("the services", () => {
  it("describe themselves without their code, which is loaded where they run", async () => {
    const light = ["retention.ts", "service.ts", "channels.ts", "settings.ts"];
    for (const { name } of definitions)
      assert.deepEqual(
        codeOf(name).filter((file) => !light.includes(file!)),
        [],
        name,
      );
    const [first] = definitions;
    await first!.load();
    assert.ok(codeOf(first!.name).includes("create-service.ts"));
  });

  it("have names that databases, topics and variables can have, and no two the same", () => {
    for (const name of serviceNames) assert.match(name, /^[a-z]+$/);
    const unique = (names: readonly string[]) => assert.deepEqual(names, [...new Set(names)]);
    unique(serviceNames);
    unique(definitions.flatMap(({ documents = [] }) => documents.map(({ name }) => name)));
    unique(definitions.flatMap(({ subscriptions = [] }) => subscriptions.map(({ name }) => name)));
  });

  it("subscribe to services that there are, under names of their own", () => {
    for (const { name: subscriber, subscriptions = [] } of definitions)
      for (const { name, publisher } of subscriptions) {
        assert.ok(name.startsWith(`${subscriber}.`), name);
        assert.ok(
          serviceNames.some((service) => service === publisher),
          publisher,
        );
      }
  });
});
