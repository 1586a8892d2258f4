import { X509Certificate } from "node:crypto";
import type { PeerCertificate } from "node:tls";

const service = /^URI:spiffe:\/\/kontor\/([a-z][a-z0-9-]{0,62})$/;
const jsonString = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;

/**
 * The services that a certificate names, by its URIs `spiffe://kontor/<service>`; none without a certificate. Only whole names of that kind
 * count, not parts of other names.
 */
export function identitiesOf(certificate: X509Certificate | Pick<PeerCertificate, "subjectaltname"> | undefined): readonly string[] {
  if (certificate === undefined) return [];
  const names = certificate instanceof X509Certificate ? certificate.subjectAltName : certificate.subjectaltname;
  return alternativeNames(names ?? "").flatMap((name) => service.exec(name)?.[1] ?? []);
}

/**
 * Node has the names in one text, `URI:a, DNS:b`. One with a comma, a quote or an unprintable character is quoted as in JSON, so that
 * nothing in it is taken for another name. A text of another form is not trusted: it has no names.
 */
function alternativeNames(text: string): string[] {
  const names: string[] = [];
  let name = "";
  for (let at = 0; at < text.length;) {
    if (text[at] === '"') {
      jsonString.lastIndex = at;
      const [quoted] = jsonString.exec(text) ?? [];
      if (quoted === undefined) return [];
      name += String(JSON.parse(quoted));
      at += quoted.length;
    } else if (text[at] === ",") {
      if (text[at + 1] !== " ") return [];
      names.push(name);
      name = "";
      at += 2;
    } else name += text[at++];
  }
  return [...names, name];
}
