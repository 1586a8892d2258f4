import { PaymentsService, PaymentStatus, RefundStatus } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import type { Payment } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { keyed, keyedPerResource } from "@kontor/platform/rpc/keyed.ts";
import { implement } from "@kontor/platform/rpc/rpc.ts";
import type { Route } from "@kontor/platform/rpc/rpc.ts";
import { waiting } from "@kontor/platform/rpc/waiting.ts";
import { completePayment, createAttempt } from "./attempt.ts";
import { closePayment } from "./close-payment.ts";
import type { PaymentNeeds } from "./needs.ts";
import { openPayment } from "./open-payment.ts";
import type { PaymentRecord } from "./payment.ts";
import { attemptMessage, paymentMessage } from "./payment-messages.ts";
import { finishPage, openPage } from "./payment-pages.ts";
import { receiveWebhook } from "./receive-webhook.ts";
import { createRefund, refundPayment } from "./refund.ts";
import { visiblePayment } from "./view-payment.ts";

const { method } = PaymentsService;

export function paymentsRoute(needs: PaymentNeeds): Route {
  const open = openPayment(needs);
  const attempt = createAttempt(needs);
  const complete = completePayment(needs);
  const close = closePayment(needs);
  const refundAll = refundPayment(needs);
  const receive = receiveWebhook(needs);
  const pageToPay = openPage(needs);
  const pageAfterwards = finishPage(needs);
  const reply = (payment: PaymentRecord): Payment => paymentMessage(payment, needs.config.publicUrl);

  return implement(PaymentsService, {
    getPayment: waiting({
      read: async (request, call) => reply(await visiblePayment(needs, { method: method.getPayment, id: request.payment }, call)),
      isPending: ({ status, refunds }) =>
        status === PaymentStatus.OPEN || refunds.some((refund) => refund.status === RefundStatus.REFUND_PENDING),
      watch: ({ payment }) => needs.changes.watch(payment),
    }),
    createAttempt: keyedPerResource(async (request, call, key) => {
      const payment = await visiblePayment(needs, { method: method.createAttempt, id: request.payment }, call);
      return attemptMessage(await attempt(payment, key, call));
    }),
    completePayment: async (request, call) =>
      reply(await complete(await visiblePayment(needs, { method: method.completePayment, id: request.payment }, call), call)),
    createRefund: keyed((request, call, tx) => createRefund(needs, tx, request, call)),
    receiveWebhook: async (request, call) => {
      await receive(request, call);
      return {};
    },
    openPaymentPage: async ({ secret }, call) => ({ url: await pageToPay(secret, call) }),
    finishPaymentPage: async ({ secret }, call) => ({
      contentType: "text/html; charset=utf-8",
      body: Buffer.from(await pageAfterwards(secret, call)),
    }),
    openPayment: async (request, call) => reply(await open(request, call)),
    closePayment: async (request, call) => {
      const payment = await close(request.payment, call);
      return payment === undefined ? { id: request.payment, status: PaymentStatus.CLOSED } : reply(payment);
    },
    refundPayment: async (request, call) => reply(await refundAll(request.payment, call)),
  });
}
