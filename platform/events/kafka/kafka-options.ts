/** How to connect to a Kafka cluster, and how to create topics there. */
export interface KafkaOptions {
  /** "host:port" of one broker or more; the others are found through them. */
  readonly brokers: readonly string[];
  /** The prefix of the names of all topics: "kontor" by default. */
  readonly prefix?: string;
  /** Partitions of a new topic: 6 by default. More partitions let more replicas of a subscriber share its work; the number never changes. */
  readonly partitions?: number;
  /** Replicas of a new topic: 1 by default. With three or more, two must have a record before it is acknowledged. */
  readonly replicas?: number;
  readonly credentials?: { readonly mechanism: KafkaMechanism; readonly username: string; readonly password: string };
  /** Whether to connect with TLS. */
  readonly tls?: boolean;
  /** Authorities that may have signed the servers' certificates, in PEM; those that Node.js trusts by default. */
  readonly ca?: string;
}

type KafkaMechanism = "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512";

const mechanisms: readonly KafkaMechanism[] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];
const form = "kafka://[user:password@]host:port[,host:port][?replicas=3&partitions=6&prefix=kontor&tls=true&mechanism=scram-sha-512]";

/**
 * Reads "kafka://host:port,host:port?replicas=3". Throws, naming the variable and what is wrong, but never the password.
 */
export function kafkaOptionsFrom(url: string, variable: string): KafkaOptions {
  const wrong = (what: string): never => {
    throw new Error(`${variable} ${what}; it looks like ${form}`);
  };
  const match = /^kafka:\/\/(?:([^:@/?]+):([^@/?]+)@)?([^@/?]+)\/?(?:\?(.*))?$/.exec(url);
  if (match === null) return wrong("is not a Kafka address");
  const [, username, password, hosts = "", query = ""] = match;
  const brokers = hosts.split(",");
  for (const broker of brokers) {
    const port = Number(/^[^:\s]+:(\d{1,5})$/.exec(broker)?.[1] ?? "0");
    if (port < 1 || port > 65_535) wrong(`names a broker without its port: "${broker}"`);
  }
  const parameters = new URLSearchParams(query);
  const number = (name: string, max: number): number | undefined => {
    const text = parameters.get(name);
    if (text === null) return undefined;
    if (!/^\d{1,4}$/.test(text) || Number(text) < 1 || Number(text) > max) wrong(`has a ${name} that is not a number from 1 to ${max}`);
    return Number(text);
  };
  const [partitions, replicas, prefix] = [number("partitions", 1_000), number("replicas", 10), parameters.get("prefix") ?? undefined];
  if (prefix !== undefined && !/^[\w.-]{1,100}$/.test(prefix)) wrong("has a prefix that a topic's name cannot have");
  const requested = parameters.get("mechanism")?.toUpperCase();
  const mechanism = mechanisms.find((each) => each === (requested ?? "SCRAM-SHA-512")) ?? wrong("has an unknown mechanism");
  const tls = parameters.get("tls");
  if (tls !== null && tls !== "true" && tls !== "false") wrong("has a tls that is neither true nor false");
  for (const name of parameters.keys())
    if (!["partitions", "replicas", "prefix", "mechanism", "tls"].includes(name)) wrong(`has an unknown parameter "${name}"`);
  return {
    brokers,
    ...(prefix !== undefined && { prefix }),
    ...(partitions !== undefined && { partitions }),
    ...(replicas !== undefined && { replicas }),
    ...(username !== undefined &&
      password !== undefined && {
        credentials: { mechanism, username: decodeURIComponent(username), password: decodeURIComponent(password) },
      }),
    ...(tls !== null && { tls: tls === "true" }),
  };
}
