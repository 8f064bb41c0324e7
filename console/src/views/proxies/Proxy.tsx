/** One proxy: versions by type, drift, and changes that are held back from it. */
import { Alert, Anchor, Card, Code, List, Stack, Table, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import { ApiError, call, curl } from "../../api/client";
import { Refused } from "../../parts/Confirm";
import { type Column, DataTable } from "../../parts/DataTable";
import { Commands } from "../../parts/Effect";
import { StateBadge } from "../../parts/StateBadge";
import type { Schemas } from "../../api/client";
import { Configuration } from "./Configuration";
import type { Proxy as One } from "./state";

const LOOK = 2_000; // milliseconds

export default function Proxy() {
  const { t } = useTranslation();
  const { node } = useParams({ strict: false }) as { node: string };
  const path = `/v1/proxies/${encodeURIComponent(node)}`;
  const { data, error } = useQuery({
    queryKey: ["proxies", node],
    queryFn: async () => (await call<{ items: One[] }>({ method: "GET", path })).data.items,
    refetchInterval: LOOK,
    retry: false,
  });
  return (
    <Stack>
      <Anchor href="#/proxies">{t("views.proxies")}</Anchor>
      <Title order={1} size="h2">{node}</Title>
      <Refused error={error instanceof ApiError ? error : null} />
      {(data ?? []).map((one) => (
        <Stack key={one.connected}>
          <Stream proxy={one} />
          <Configuration node={node} connected={one.connected} state={JSON.stringify([one.types, one.drift])} />
        </Stack>
      ))}
      <Commands commands={[curl({ method: "GET", path })]} />
    </Stack>
  );
}

function Stream({ proxy }: { proxy: One }) {
  const { t } = useTranslation();
  const drift = proxy.drift ?? [];
  const columns: Column<Schemas["Drift"]>[] = [
    { key: "type", title: t("proxies.type"), cell: (one) => one.type },
    { key: "name", title: t("edit.name"), cell: (one) => one.name },
    { key: "state", title: t("overview.state"), cell: (one) => <>{one.state}{one.nack && <Text size="sm">{one.nack.message}</Text>}</> },
    { key: "version", title: t("proxies.version"), cell: (one) => <Code>{one.version}</Code> },
  ];
  return (
    <Stack>
      <Text>
        {proxy.role}, {proxy.cluster}, {proxy.envoy}{proxy.identity && `, ${proxy.identity}`}. {t("proxies.since", { time: new Date(proxy.connected).toLocaleString() })} {t("proxies.standing")}: {t(`proxies.is_${proxy.standing}`)}
      </Text>
      {proxy.warnings.map((one) => <Alert key={one} color="yellow" title={t("overview.warnings")}>{one}</Alert>)}
      <Card withBorder component="section">
        <Title order={2} size="h4" mb="xs">{t("proxies.types")}</Title>
        <Table.ScrollContainer type="native" minWidth={480} tabIndex={0} role="region" aria-label={t("proxies.types")}>
          <Table aria-label={t("proxies.types")}>
            <Table.Thead>
              <Table.Tr>{(["type", "sent", "acked", "answer"] as const).map((one) => <Table.Th key={one} scope="col">{t(`proxies.${one}`)}</Table.Th>)}</Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {Object.entries(proxy.types).map(([type, one]) => (
                <Table.Tr key={type}>
                  <Table.Th scope="row" fw={500}>{type}</Table.Th>
                  <Table.Td><Code>{one.sent}</Code></Table.Td>
                  <Table.Td><Code>{one.acked}</Code></Table.Td>
                  <Table.Td>
                    <StateBadge tone={one.nack ? "bad" : one.sent === one.acked ? "good" : "watch"}>{one.nack ? t("proxies.rejected") : one.sent === one.acked ? t("proxies.accepted") : t("proxies.behind")}</StateBadge>
                    {one.nack && <Text size="sm">{new Date(one.nack.at).toLocaleString()}: {one.nack.message}</Text>}
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      </Card>
      {proxy.held.length > 0 && (
        <Alert color="yellow" title={t("proxies.held", { count: proxy.held.length })}>
          <List size="sm">
            {proxy.held.map((one) => (
              <List.Item key={`${one.type} ${one.name}`}>
                {t("proxies.heldBack", { type: one.type, name: one.name, node: one.node })} {one.nack?.message} {one.confirmed.join(", ")}
              </List.Item>
            ))}
          </List>
        </Alert>
      )}
      <Card withBorder component="section">
        <Title order={2} size="h4" mb="xs">{t("proxies.drift")}</Title>
        {drift.length === 0 ? <Text>{t("proxies.noDrift")}</Text> : <DataTable label={t("proxies.drift")} columns={columns} rows={drift} rowKey={(one) => `${one.type} ${one.name}`} text={(one) => `${one.type} ${one.name} ${one.state}`} />}
      </Card>
    </Stack>
  );
}
