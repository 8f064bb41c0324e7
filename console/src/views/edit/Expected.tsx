/** How many of the last minute's requests a lane would have taken, where that can be known. */
import { Text } from "@mantine/core";
import { useQueries } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { type Schemas, call } from "../../api/client";
import type { Document } from "../../api/effects";
import { useSums } from "../../parts/ShareDialog";
import { short } from "../../parts/figures";
import type { Ratio } from "./RatioFields";

const MINUTE = "window=1m&step=5s";

/** Proxies report numbers, not requests: of a share the number follows, of conditions it does not. */
export function Expected({ gateway, lane }: { gateway: string | undefined; lane: Document }) {
  const { t } = useTranslation();
  const ratio = lane.ratio as Ratio | undefined;
  const sums = useSums({ group: String(lane.group ?? ""), name: String(lane.name ?? ""), routes: lane.routes as string[] | undefined, ratio });
  const shared = gateway && ratio ? sums.filter((one) => one.own > 0).slice(0, 20) : [];
  const counted = useQueries({
    queries: shared.map(({ route }) => ({
      queryKey: ["traffic", "route", gateway, route],
      queryFn: async () =>
        (await call<Schemas["RouteTraffic"]>({ method: "GET", path: `/v1/metrics/gateways/${encodeURIComponent(gateway ?? "")}/routes/${encodeURIComponent(route)}?${MINUTE}` })).data,
      refetchInterval: 5_000,
    })),
  });
  if (!ratio) return <Text size="sm">{t("edit.expectedUnknown")}</Text>;
  const all = counted.reduce((sum, one) => sum + (one.data?.total.requests ?? 0), 0);
  const taken = counted.reduce((sum, one, at) => sum + ((one.data?.total.requests ?? 0) * (shared[at]?.own ?? 0)) / 100, 0);
  if (counted.some((one) => !one.data)) return null;
  return <Text size="sm" role="status">{t("edit.expected", { taken: short(taken), all: short(all) })}</Text>;
}
