// The page to try the API on: reads /openapi.json, builds a form for each operation, sends it and shows the answer.
const verbs = ["get", "post", "put", "patch", "delete"];
const byId = (id) => document.getElementById(id);

/** Makes an element; text is set as text, so nothing that the document says can become markup. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

let api;
const resolve = (schema) => {
  let at = schema;
  while (at?.$ref)
    at = at.$ref
      .slice(2)
      .split("/")
      .reduce((node, key) => node?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], api);
  return at ?? {};
};

/** An example value of a schema: what has to be filled in first. */
function skeleton(schema, depth = 0) {
  const {
    type,
    properties,
    items,
    example,
    default: initial,
    enum: choices,
    oneOf,
    anyOf,
    allOf,
    format,
    minimum,
    readOnly,
  } = resolve(schema);
  if (readOnly || depth > 6) return undefined;
  if (example !== undefined) return example;
  if (initial !== undefined) return initial;
  if (choices) return choices[0];
  if (allOf) return Object.assign({}, ...allOf.map((part) => skeleton(part, depth + 1)));
  if (oneOf || anyOf) return skeleton((oneOf ?? anyOf)[0], depth + 1);
  const kind = Array.isArray(type) ? type[0] : type;
  if (kind === "object" || properties) {
    const value = {};
    for (const [name, part] of Object.entries(properties ?? {})) {
      const inner = skeleton(part, depth + 1);
      if (inner !== undefined) value[name] = inner;
    }
    return value;
  }
  if (kind === "array") {
    const inner = skeleton(items ?? {}, depth + 1);
    return inner === undefined ? [] : [inner];
  }
  if (kind === "integer" || kind === "number") return minimum ?? 0;
  if (kind === "boolean") return false;
  if (format === "date-time") return new Date().toISOString();
  if (format === "currency") return "EUR";
  if (format === "decimal") return "1.00";
  return "";
}

function operations() {
  const found = [];
  for (const [path, item] of Object.entries(api.paths ?? {}))
    for (const verb of verbs)
      if (item[verb])
        found.push({
          verb: verb.toUpperCase(),
          path,
          ...item[verb],
          parameters: [...(item.parameters ?? []), ...(item[verb].parameters ?? [])].map(resolve),
        });
  return found;
}

const anchor = ({ verb, path }) => `#${verb}${path}`;

function list(all) {
  const wanted = byId("filter").value.trim().toLowerCase();
  const groups = new Map();
  for (const operation of all) {
    if (wanted && !`${operation.verb} ${operation.path} ${operation.summary ?? ""}`.toLowerCase().includes(wanted)) continue;
    const tag = operation.tags?.[0] ?? "other";
    groups.set(tag, [...(groups.get(tag) ?? []), operation]);
  }
  byId("operations").replaceChildren(
    ...[...groups].flatMap(([tag, members]) => [
      make("h3", {}, tag),
      ...members.map((operation) =>
        make(
          "a",
          {
            href: anchor(operation),
            title: operation.summary,
            "aria-current": anchor(operation) === decodeURIComponent(location.hash) && "true",
          },
          make("span", { class: `verb ${operation.verb}` }, operation.verb),
          operation.path,
        ),
      ),
    ]),
  );
}

function field({ name, required, description, schema, in: place }) {
  const { enum: choices, type } = resolve(schema);
  const id = `p-${place}-${name}`;
  const options = choices ?? (type === "boolean" ? ["true", "false"] : undefined);
  const input = options
    ? make("select", { id }, make("option", { value: "" }, ""), ...options.map((option) => make("option", { value: option }, option)))
    : make("input", { id, autocomplete: "off", spellcheck: "false" });
  const label = make("label", { for: id }, make("code", {}, name), required ? make("b", {}, " *") : "");
  return {
    name,
    place,
    required,
    input,
    row: make("div", { class: "field" }, label, input, description ? make("small", {}, description) : undefined),
  };
}

function show(operation) {
  const target = byId("operation");
  if (!operation) return;
  const fields = operation.parameters.filter(({ in: place }) => place !== "cookie").map(field);
  const key = fields.find(({ name }) => name.toLowerCase() === "idempotency-key");
  if (key?.required) key.input.value = crypto.randomUUID?.() ?? String(Math.random()).slice(2);
  const schema = operation.requestBody && resolve(operation.requestBody).content?.["application/json"]?.schema;
  const body = schema && make("textarea", { "aria-label": "Body", spellcheck: "false" });
  if (body) {
    body.value = JSON.stringify(skeleton(schema) ?? {}, null, 2);
    body.rows = Math.min(24, body.value.split("\n").length + 1);
  }
  const answer = make("div");
  const button = make("button", { type: "submit" }, "Send");
  const form = make(
    "form",
    {
      onsubmit: async (event) => {
        event.preventDefault();
        button.disabled = true;
        try {
          await send({ operation, fields, body, answer });
        } finally {
          button.disabled = false;
        }
      },
    },
    ...(fields.length > 0 ? [make("h2", {}, "Parameters"), ...fields.map(({ row }) => row)] : []),
    ...(body ? [make("h2", {}, "Body"), body] : []),
    make("div", { class: "actions" }, button),
  );
  target.replaceChildren(
    make("h1", {}, operation.summary ?? operation.operationId ?? operation.path),
    make("p", { class: "lead path" }, make("span", { class: operation.verb }, operation.verb), ` ${operation.path}`),
    ...(operation.description && operation.description !== operation.summary ? [make("p", {}, operation.description)] : []),
    form,
    answer,
  );
  document.title = `${operation.verb} ${operation.path}`;
}

async function send({ operation, fields, body, answer }) {
  const given = (place) => fields.filter((one) => one.place === place && one.input.value !== "");
  let path = operation.path;
  for (const one of fields.filter(({ place }) => place === "path"))
    path = path.replace(`{${one.name}}`, encodeURIComponent(one.input.value));
  const query = new URLSearchParams(given("query").map(({ name, input }) => [name, input.value])).toString();
  const headers = Object.fromEntries(given("header").map(({ name, input }) => [name, input.value]));
  const token = byId("token").value.trim();
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  const startedMs = performance.now();
  try {
    const response = await fetch(query ? `${path}?${query}` : path, {
      method: operation.verb,
      headers,
      ...(body && { body: body.value }),
      redirect: "manual",
    });
    const raw = await response.text();
    const tookMs = Math.round(performance.now() - startedMs);
    const shown = pretty(raw);
    if (shown.accessToken) byId("token").value = shown.accessToken;
    answer.replaceChildren(
      make(
        "p",
        { class: "status" },
        response.type === "opaqueredirect" ? "a redirect" : `${response.status} ${response.statusText}`,
        ` · ${tookMs} ms`,
      ),
      make("pre", {}, shown.text || "(no body)"),
      make("h2", {}, "Headers"),
      make("pre", {}, [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n")),
    );
  } catch (error) {
    answer.replaceChildren(make("p", { class: "status" }, "No answer"), make("pre", {}, String(error)));
  }
}

function pretty(raw) {
  try {
    const value = JSON.parse(raw);
    return { text: JSON.stringify(value, null, 2), accessToken: value?.accessToken };
  } catch {
    return { text: raw }; // not JSON: shown as it came
  }
}

function open(description) {
  api = description;
  const all = operations();
  const current = () => all.find((operation) => anchor(operation) === decodeURIComponent(location.hash));
  const refresh = () => (list(all), show(current()));
  byId("filter").addEventListener("input", () => list(all));
  addEventListener("hashchange", refresh);
  refresh();
}

fetch("/openapi.json")
  .then((response) => response.json())
  .then(open)
  .catch((/** @type {unknown} */ error) => byId("operation").replaceChildren(make("pre", {}, String(error))));
