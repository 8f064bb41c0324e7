/** Connected proxies: what they have, what they rejected, and what is held back from them. */
import { Anchor, Stack, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { proxies } from "../../api/queries";
import { type Column, DataTable } from "../../parts/DataTable";
import { StateBadge } from "../../parts/StateBadge";
import { type Proxy, stateOf } from "./state";

export default function Proxies() {
  const { t } = useTranslation();
  const { data } = useQuery(proxies);
  const weight = (one: Proxy) => ({ rejected: 0, held: 1, behind: 2, synced: 3 })[stateOf(one).state];
  const rows = [...(data ?? [])].sort((one, other) => weight(one) - weight(other) || one.node.localeCompare(other.node));
  const columns: Column<Proxy>[] = [
    { key: "node", title: t("proxies.node"), cell: (one) => <Anchor href={`#/proxies/${encodeURIComponent(one.node)}`}>{one.node}</Anchor> },
    { key: "role", title: t("proxies.role"), cell: (one) => one.role },
    { key: "cluster", title: t("proxies.cluster"), cell: (one) => one.cluster },
    {
      key: "state",
      title: t("overview.state"),
      cell: (one) => {
        const { state, tone, message } = stateOf(one);
        return (
          <>
            <StateBadge tone={tone}>{t(`proxies.${state}`, { count: one.held.length })}</StateBadge>
            {message && <Text size="sm">{message}</Text>}
          </>
        );
      },
    },
    { key: "standing", title: t("proxies.standing"), cell: (one) => t(`proxies.is_${one.standing}`) },
    { key: "envoy", title: t("proxies.version"), cell: (one) => one.envoy },
    { key: "warnings", title: t("overview.warnings"), cell: (one) => one.warnings.join(" ") },
  ];
  return (
    <Stack>
      <Title order={1} size="h2">{t("views.proxies")}</Title>
      <DataTable label={t("views.proxies")} columns={columns} rows={rows} rowKey={(one) => `${one.node} ${one.connected}`} text={(one) => `${one.node} ${one.role} ${one.cluster} ${one.envoy}`} empty={t("overview.noProxies")} />
    </Stack>
  );
}
