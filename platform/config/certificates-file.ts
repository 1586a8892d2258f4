import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";

const block = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The text of a file with certificates in PEM form. Throws, saying what is wrong, when it cannot be read or does not hold any. */
export function readCertificates(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "latin1");
  } catch (error) {
    throw new Error(`the file ${path} cannot be read: ${(error as NodeJS.ErrnoException).code ?? "unknown error"}`, { cause: error });
  }
  const certificates = text.match(block);
  if (certificates === null) throw new Error(`the file ${path} holds no certificate in PEM form`);
  for (const certificate of certificates)
    try {
      new X509Certificate(certificate);
    } catch (error) {
      throw new Error(`the file ${path} holds a certificate that cannot be read`, { cause: error });
    }
  // The text between them may be in any encoding.
  return certificates.join("\n");
}
