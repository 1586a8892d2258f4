// Shows /openapi.json with Scalar, which is kept from calling any other address: no fonts, proxy, assistant or telemetry.
const authentication = (token) => ({ preferredSecurityScheme: "bearer", securitySchemes: { bearer: { token } } });

const configuration = {
  url: "/openapi.json",
  // Requests go to the address that the page was opened at.
  servers: [{ url: location.origin }],
  authentication: authentication(""),
  onRequestBuilt: ({ request: { method, headers } }) => {
    // Without a token Scalar sends the scheme alone, which is a token that is not valid.
    if (headers.get("Authorization") === "Bearer") headers.delete("Authorization");
    if (method !== "GET" && !headers.get("Idempotency-Key")) headers.set("Idempotency-Key", newKey());
  },
  onResponseReceived: async ({ response }) => {
    if (!(response.headers.get("Content-Type") ?? "").startsWith("application/json")) return;
    const { accessToken } = await response.clone().json();
    // Whoever has signed in here sends the token with what follows.
    if (accessToken) reference.updateConfiguration({ ...configuration, authentication: authentication(accessToken) });
  },
  withDefaultFonts: false,
  telemetry: false,
  agent: { disabled: true },
  mcp: { disabled: true },
  hideClientButton: true,
  showDeveloperTools: "never",
  documentDownloadType: "none",
  defaultOpenFirstTag: false,
  customCss: ".scalar-app { --scalar-custom-header-height: 48px; }",
};

const reference = globalThis.Scalar.createApiReference("#reference", configuration);

/** Works on plain http too, where `randomUUID` does not. */
function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
