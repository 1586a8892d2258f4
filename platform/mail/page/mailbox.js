// The mailbox page: a list that keeps itself up to date, and the mail that was chosen. Mails' texts are only ever set as text.
const pageSize = 50;
const element = (id) => document.getElementById(id);
const [list, empty, older, mail, state, search] = ["list", "empty", "older", "mail", "state", "search"].map(element);
const tabs = [...document.querySelectorAll("[role=tab]")];

let newest = 0;
let oldest = Infinity;
let chosen;
let watching = new AbortController();

async function ask(params, signal) {
  const query = search.value.trim();
  const response = await fetch(`/api/v1/messages?${new URLSearchParams({ limit: pageSize, ...(query && { query }), ...params })}`, {
    signal,
  });
  if (!response.ok) throw new Error(`the mailbox responded with ${response.status}`);
  return response.json();
}

function show({ messages }, place) {
  const rows = messages.map(row);
  list[place](...rows);
  for (const { position } of messages) {
    newest = Math.max(newest, position);
    oldest = Math.min(oldest, position);
  }
  empty.hidden = list.childElementCount > 0;
}

function row(message) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.id = message.id;
  for (const [name, text] of [
    ["to", message.to.join(", ")],
    ["at", new Date(message.receivedAt).toLocaleTimeString()],
    ["subject", message.subject || "(no subject)"],
  ]) {
    const span = document.createElement("span");
    span.className = name;
    span.textContent = text;
    button.append(span);
  }
  button.title = new Date(message.receivedAt).toLocaleString();
  button.setAttribute("aria-current", String(message.id === chosen));
  button.addEventListener("click", () => void choose(message.id).catch(complain));
  const item = document.createElement("li");
  item.append(button);
  return item;
}

async function choose(id) {
  chosen = id;
  for (const button of list.querySelectorAll("button")) button.setAttribute("aria-current", String(button.dataset.id === id));
  const path = `/api/v1/messages/${encodeURIComponent(id)}`;
  const [parsed, source] = await Promise.all([
    fetch(path).then((response) => response.json()),
    fetch(`${path}/raw`).then((response) => response.text()),
  ]);
  if (chosen !== id) return;
  element("subject").textContent = parsed.subject || "(no subject)";
  const people = (all) => all.map(({ name, address }) => (name ? `${name} <${address}>` : address)).join(", ");
  const facts = {
    From: parsed.from ? people([parsed.from]) : "",
    To: people(parsed.to),
    Date: parsed.date ? new Date(parsed.date).toLocaleString() : "",
  };
  element("facts").replaceChildren(
    ...Object.entries(facts).flatMap(([term, text]) => {
      const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
      dt.textContent = term;
      dd.textContent = text;
      return [dt, dd];
    }),
  );
  element("html").src = `${path}/html`;
  element("text").textContent = parsed.text ?? "";
  element("source").textContent = source;
  tabs[0].disabled = parsed.html === undefined;
  select(parsed.html === undefined ? "text" : "html");
  mail.hidden = false;
}

function select(name) {
  for (const tab of tabs) {
    tab.setAttribute("aria-selected", String(tab.dataset.tab === name));
    element(tab.dataset.tab).hidden = tab.dataset.tab !== name;
  }
}

function complain(error) {
  if (error.name !== "AbortError") state.textContent = error.message;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Fills the list anew and then requests what is newer; each request waits at the server until there is something. */
async function watch() {
  watching.abort();
  const { signal } = (watching = new AbortController());
  [newest, oldest] = [0, Infinity];
  try {
    const first = await ask({ total: true }, signal);
    list.replaceChildren();
    show(first, "append");
    older.hidden = first.messages.length < pageSize;
    state.textContent = `${first.total} ${first.total === 1 ? "mail" : "mails"}`;
  } catch (error) {
    complain(error);
  }
  while (!signal.aborted) {
    try {
      const more = await ask({ after: newest, waitMs: 20000 }, signal);
      if (more.messages.length > 0) {
        show(more, "prepend");
        const { total } = await ask({ limit: 1, total: true }, signal);
        state.textContent = `${total} ${total === 1 ? "mail" : "mails"}`;
      }
      await pause(500);
    } catch (error) {
      complain(error);
      await pause(2000);
    }
  }
}

let typing;
search.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => void watch(), 200);
});
older.addEventListener("click", () => {
  ask({ before: oldest })
    .then((more) => {
      show(more, "append");
      older.hidden = more.messages.length < pageSize;
    })
    .catch(complain);
});
element("delete").addEventListener("click", () => {
  if (!confirm("Delete all mails?")) return;
  fetch("/api/v1/messages", { method: "DELETE" })
    .then(() => {
      mail.hidden = true;
      return watch();
    })
    .catch(complain);
});
for (const tab of tabs) tab.addEventListener("click", () => select(tab.dataset.tab));
void watch();
