import type { Schemas } from "../../api/client";
import type { Tone } from "../../parts/StateBadge";

export type Proxy = Schemas["Proxy"];

export interface ProxyState {
  state: "rejected" | "held" | "behind" | "synced";
  tone: Tone;
  message: string;
}

/** What is worst about a proxy. */
export function stateOf(proxy: Proxy): ProxyState {
  const types = Object.values(proxy.types);
  const nack = types.find((one) => one.nack)?.nack;
  if (nack) return { state: "rejected", tone: "bad", message: nack.message };
  if (proxy.held.length) return { state: "held", tone: "watch", message: "" };
  if (types.some((one) => one.sent !== one.acked)) return { state: "behind", tone: "watch", message: "" };
  return { state: "synced", tone: "good", message: "" };
}
