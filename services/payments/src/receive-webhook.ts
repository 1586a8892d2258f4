import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { ReceiveWebhookRequest } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { recordSession } from "./attempt.ts";
import type { PaymentNeeds } from "./needs.ts";

/** Applies a provider's event to its payment. Refuses with NOT_FOUND for another provider, and what `provider.receive` refuses. */
export const receiveWebhook =
  (needs: PaymentNeeds) =>
  async (request: ReceiveWebhookRequest, call: Call): Promise<void> => {
    const { provider } = needs;
    if (request.provider !== provider.name) throw refuse({ reason: "NOT_FOUND", code: "not_found", message: "There is no such provider" });
    const event = provider.receive(request.headers, request.body);
    // The provider is the actor in the payment's history.
    if (event !== undefined) await recordSession(needs, event.payment, event.session, call.with({ caller: provider.name }));
  };
