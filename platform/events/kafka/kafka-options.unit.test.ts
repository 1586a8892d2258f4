import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { kafkaOptionsFrom } from "./kafka-options.ts";

const read = (url: string) => kafkaOptionsFrom(url, "KONTOR_EVENTS");

describe("the address of a Kafka", () => {
  it("has brokers, and the settings of new topics", () => {
    assert.deepEqual(read("kafka://a:9092"), { brokers: ["a:9092"] });
    assert.deepEqual(read("kafka://a:9092,b:9093/?replicas=3&partitions=12&prefix=shop.one&tls=true"), {
      brokers: ["a:9092", "b:9093"],
      replicas: 3,
      partitions: 12,
      prefix: "shop.one",
      tls: true,
    });
  });

  it("may have credentials", () => {
    assert.deepEqual(read("kafka://kontor:a%3Ab@a:9092?mechanism=plain").credentials, {
      mechanism: "PLAIN",
      username: "kontor",
      password: "a:b",
    });
    assert.equal(read("kafka://kontor:secret@a:9092").credentials?.mechanism, "SCRAM-SHA-512");
  });

  it("is refused with the variable, the fault and the expected form, and never with the password", () => {
    for (const [url, what] of [
      ["http://a:9092", /not a Kafka address/],
      ["kafka://a", /without its port: "a"/],
      ["kafka://a:9092,b", /without its port: "b"/],
      ["kafka://a:99999", /without its port/],
      ["kafka://a:9092?replicas=0", /replicas/],
      ["kafka://a:9092?partitions=x", /partitions/],
      ["kafka://a:9092?tls=yes", /tls/],
      ["kafka://a:9092?prefix=a%20b", /prefix/],
      ["kafka://u:secret@a:9092?mechanism=md5", /mechanism/],
      ["kafka://u:secret@a:9092?retries=3", /unknown parameter "retries"/],
    ] as const)
      assert.throws(
        () => read(url),
        ({ message }: Error) =>
          what.test(message) && message.startsWith("KONTOR_EVENTS ") && message.includes("kafka://[user") && !message.includes("secret"),
        url,
      );
  });
});
