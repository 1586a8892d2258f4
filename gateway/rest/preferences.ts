/** A longer wait is cut to this: a connection that rests for longer is closed by some proxies. */
const waitSecondsMax = 10;

/**
 * For how many seconds a client prefers to wait (`Prefer: wait=10`, RFC 7240), 10 at most; undefined when it does not say so, or not in whole
 * seconds from 1. Preferences that are not known or malformed are ignored, and of several with one name the first counts.
 */
export function preferredWaitSeconds(header: string | readonly string[] | undefined): number | undefined {
  if (header === undefined) return undefined;
  // A quoted text may hold anything, and no wait is quoted. One that does not end lasts to the end.
  const unquoted = header.toString().replace(/"(?:[^"\\]|\\.?)*(?:"|$)/g, '""');
  for (const preference of unquoted.split(",")) {
    const [stated = ""] = preference.split(";", 1);
    const [name = "", value = "", ...more] = stated.split("=").map((part) => part.trim());
    if (name.toLowerCase() !== "wait") continue;
    const seconds = more.length === 0 && /^\d+$/.test(value) ? Number(value) : 0;
    return seconds === 0 ? undefined : Math.min(seconds, waitSecondsMax);
  }
  return undefined;
}
