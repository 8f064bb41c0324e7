/** What is not well, the worst first. Pure. */
import type { TFunction } from "i18next";
import type { Schemas } from "../../api/client";
import type { Summary } from "../../api/queries";
import type { useFigures } from "../../parts/figures";

export interface Trouble {
  tone: "bad" | "watch";
  text: string;
  href?: string;
}

export const WORSE_ERRORS = 0.01; // of the lane's requests more than of base's
export const WORSE_P99 = 1.5; // times base's p99
const FEW = 5; // milliseconds that nobody minds

type Line = Schemas["LaneLine"];

export const failsMore = (line: Line): boolean => (line.error_rate ?? 0) > (line.base_error_rate ?? 0) + WORSE_ERRORS;
export const isSlower = (line: Line): boolean =>
  line.p99 != null && line.base_p99 != null && line.p99 > line.base_p99 * WORSE_P99 && line.p99 - line.base_p99 > FEW;

/** Types of configuration that a proxy has not accepted as sent. */
export const unsynced = (proxy: Schemas["Proxy"]): number =>
  Object.values(proxy.types).filter((state) => state.nack || state.sent !== state.acked).length;

interface Known {
  /** Warnings about definitions and services. */
  warnings: number;
  summary: Summary | undefined;
  proxies: Schemas["Proxy"][];
  sources: Schemas["Source"][];
  releases: Schemas["Release"][];
}

export function troubles({ warnings, summary, proxies, sources, releases }: Known, t: TFunction, say: ReturnType<typeof useFigures>): Trouble[] {
  const found: Trouble[] = [];
  const bad = (text: string, href?: string) => found.push({ tone: "bad", text, ...(href && { href }) });
  const watch = (text: string, href?: string) => found.push({ tone: "watch", text, ...(href && { href }) });

  for (const one of sources) {
    if (one.state === "stale" || one.problem) bad(t("problems.source", { name: one.name, state: t(`sourceState.${one.state}`), problem: one.problem ?? "" }));
    else if (one.held_instances) watch(t("problems.heldInstances", { name: one.name, count: one.held_instances }));
  }
  for (const one of proxies) {
    const nack = Object.values(one.types).find((state) => state.nack)?.nack;
    if (nack) bad(t("problems.rejected", { node: one.node, message: nack.message }));
    else if (one.held.length) watch(t("problems.held", { node: one.node, count: one.held.length }));
    else if (one.standing === "slow" || one.standing === "silent") watch(t("problems.sync", { node: one.node, count: unsynced(one) }));
  }
  for (const one of summary?.gateways ?? [])
    if (one.qps && one.exception_qps / one.qps > WORSE_ERRORS) bad(t("problems.gateway", { gateway: one.gateway, value: say.part(one.exception_qps / one.qps) }));
  for (const one of summary?.lanes ?? []) {
    const href = `#/groups/${encodeURIComponent(one.group)}`;
    if (failsMore(one)) bad(t("problems.errors", { lane: one.lane, value: say.part(one.error_rate), base: say.part(one.base_error_rate) }), href);
    if (one.refusal_qps > 0) bad(t("problems.refusals", { lane: one.lane, value: say.rate(one.refusal_qps) }), href);
    if (one.fallback_qps > 0) watch(t("problems.fallbacks", { lane: one.lane, value: say.rate(one.fallback_qps) }), href);
    if (isSlower(one)) watch(t("problems.slow", { lane: one.lane, value: say.ms(one.p99), base: say.ms(one.base_p99) }), href);
  }
  for (const one of releases) {
    if (one.progress?.phase === "aborted") watch(t("problems.aborted", { release: one.name, lane: one.lane }));
    if (one.progress?.phase === "waiting") watch(t("problems.waiting", { release: one.name, lane: one.lane }));
  }
  if (warnings) watch(t("problems.warnings", { count: warnings }));
  if (summary && summary.proxies.reporting < summary.proxies.connected)
    watch(t("problems.silent", { count: summary.proxies.connected - summary.proxies.reporting }));
  return found.sort((one, other) => Number(other.tone === "bad") - Number(one.tone === "bad"));
}
