import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A page in a Chromium of its own. */
export interface ChromiumPage extends AsyncDisposable {
  /** Every address that was requested, blocked ones too. */
  readonly requested: readonly string[];
  /** The errors and warnings in the console. */
  readonly complaints: readonly string[];
  goTo(url: string): Promise<void>;
  /** Clicks the last button whose text matches, as soon as there is one. */
  click(text: RegExp): Promise<void>;
  /** Resolves with the status of the next response from an address that matches. */
  response(address: RegExp): Promise<number>;
}

/** Starts `chromium`, which must be on the path. */
export async function openChromium(): Promise<ChromiumPage> {
  const browser = await startChromium();
  const { send, listeners, close } = await connect(browser.url);
  const { targetId } = await send<{ targetId: string }>("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await send<{ sessionId: string }>("Target.attachToTarget", { targetId, flatten: true });
  const requested: string[] = [];
  const complaints: string[] = [];
  listeners.add(({ method, params }) => {
    const { request, type = "", args, exceptionDetails, entry } = params;
    if (method === "Network.requestWillBeSent") requested.push(request!.url);
    if (method === "Runtime.consoleAPICalled" && ["error", "warning"].includes(type)) complaints.push(JSON.stringify(args));
    if (method === "Runtime.exceptionThrown") complaints.push(JSON.stringify(exceptionDetails));
    if (method === "Log.entryAdded" && entry?.level !== "info") complaints.push(JSON.stringify(entry));
  });
  for (const domain of ["Network", "Runtime", "Log", "Page"]) await send(`${domain}.enable`, {}, sessionId);
  return {
    requested,
    complaints,
    goTo: async (url) => void (await send("Page.navigate", { url }, sessionId)),
    click: async (text) =>
      void (await send("Runtime.evaluate", { expression: `(${clickWhenThere})(${text})`, awaitPromise: true }, sessionId)),
    response: (address) =>
      new Promise((resolve) => {
        const listener = ({ method, params: { response } }: Event): void => {
          if (method !== "Network.responseReceived" || !address.test(response!.url)) return;
          listeners.delete(listener);
          resolve(response!.status);
        };
        listeners.add(listener);
      }),
    async [Symbol.asyncDispose]() {
      close();
      await browser.stop();
    },
  };
}

async function startChromium(): Promise<{ readonly url: string; readonly stop: () => Promise<void> }> {
  const profile = mkdtempSync(join(tmpdir(), "kontor-chromium-"));
  const options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", `--user-data-dir=${profile}`];
  const child = spawn("chromium", options, { stdio: ["ignore", "ignore", "pipe"] });
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const url = await new Promise<string>((resolve, reject) => {
    let text = "";
    child.once("error", reject);
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
      const [found] = /ws:\/\/\S+/.exec(text) ?? [];
      if (found !== undefined) resolve(found);
    });
  });
  return {
    url,
    async stop() {
      child.kill();
      await closed;
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** An event of the DevTools protocol, as far as it is looked at. */
interface Event {
  readonly method: string;
  readonly params: {
    readonly request?: { readonly url: string };
    readonly response?: { readonly url: string; readonly status: number };
    readonly type?: string;
    readonly args?: unknown;
    readonly exceptionDetails?: unknown;
    readonly entry?: { readonly level: string };
  };
}

interface Result {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

async function connect(url: string) {
  const socket = new WebSocket(url);
  await new Promise((resolve) => socket.addEventListener("open", resolve));
  const pending = new Map<number, PromiseWithResolvers<unknown>>();
  const listeners = new Set<(event: Event) => void>();
  socket.addEventListener("message", ({ data }) => {
    const message = JSON.parse(String(data)) as Event | Result;
    if (!("id" in message)) for (const listener of listeners) listener(message);
    else if (message.error === undefined) pending.get(message.id)!.resolve(message.result);
    else pending.get(message.id)!.reject(new Error(message.error.message));
  });
  return {
    listeners,
    send<T>(method: string, params: object, sessionId?: string): Promise<T> {
      const id = pending.size + 1;
      const result = Promise.withResolvers<unknown>();
      pending.set(id, result);
      socket.send(JSON.stringify({ id, method, params, sessionId }));
      return result.promise as Promise<T>;
    },
    close: () => socket.close(),
  };
}

/** Runs in the page, so it is plain JavaScript whose names are the browser's. */
const clickWhenThere = `(text) => new Promise((resolve) => {
  const look = () => {
    const button = [...document.querySelectorAll("button")].findLast((one) => text.test(one.innerText));
    if (button === undefined) return requestAnimationFrame(look);
    button.click();
    resolve();
  };
  look();
})`;
