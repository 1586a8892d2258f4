/** The JSON Schema of every error's body: RFC 9457 with our reason, wrong fields and trace. */
export const problemSchema = {
  type: "object",
  description: "An error (RFC 9457). `reason` is stable and meant for programs, `detail` for people.",
  properties: {
    type: { type: "string", description: "A page about the reason." },
    title: { type: "string" },
    status: { type: "integer", minimum: 400, maximum: 599 },
    detail: { type: "string" },
    reason: { type: "string", pattern: "^[A-Z][A-Z0-9_]*$" },
    details: { type: "object", description: "Facts about the reason, such as the current version." },
    errors: {
      type: "array",
      description: "The fields that are missing or wrong.",
      items: {
        type: "object",
        properties: {
          field: { type: "string", description: "A JSON path: `lines[0].quantity`." },
          reason: { type: "string", pattern: "^[A-Z][A-Z0-9_]*$" },
          message: { type: "string" },
        },
        required: ["field", "reason", "message"],
        additionalProperties: false,
      },
    },
    traceId: { type: "string" },
  },
  required: ["type", "title", "status", "reason"],
} as const;
