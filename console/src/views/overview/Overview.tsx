import { Alert, Anchor, Card, Group, List, SimpleGrid, Stack, Table, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { gateways, proxies, ready, releases, summary, warnings } from "../../api/queries";
import { useFigures } from "../../parts/figures";
import { promql } from "../../parts/promql";
import { QueryTitle } from "../../parts/QueryTitle";
import { StateBadge } from "../../parts/StateBadge";
import { Lanes } from "./Lanes";
import { troubles, unsynced } from "./problems";

const MOST = 8;

export default function Overview() {
  const { t } = useTranslation();
  return (
    <Stack>
      <Title order={1} size="h2">{t("views.overview")}</Title>
      <Health />
      <Lanes />
      <SimpleGrid cols={{ base: 1, md: 2, xl: 3 }}>
        <Gateways />
        <Proxies />
        <Sources />
      </SimpleGrid>
    </Stack>
  );
}

function Health() {
  const { t } = useTranslation();
  const say = useFigures();
  const seen = useQuery(summary);
  const connected = useQuery(proxies);
  const state = useQuery(ready);
  const planned = useQuery(releases);
  const warned = useQuery(warnings);
  if (!warned.data || !seen.data || !connected.data || !state.data) return null;
  const known = { warnings: warned.data.items.length + warned.data.services.length, summary: seen.data, proxies: connected.data, sources: state.data.sources, releases: planned.data ?? [] };
  const found = troubles(known, t, say);
  if (found.length === 0)
    return (
      <Alert color="teal" title={t("overview.well")} role="status" data-well>
        {t("overview.wellText")}
      </Alert>
    );
  const bad = found.some((one) => one.tone === "bad");
  return (
    <Alert color={bad ? "red" : "yellow"} title={t("overview.unwell", { count: found.length })} role="status">
      <List size="sm">
        {found.slice(0, MOST).map((one) => (
          <List.Item key={one.text} icon={<span aria-hidden>{one.tone === "bad" ? "▲" : "◆"}</span>}>
            {one.href ? (
              <Anchor href={one.href} c="inherit" underline="always">{one.text}</Anchor>
            ) : (
              one.text
            )}
          </List.Item>
        ))}
      </List>
      {found.length > MOST && <Text size="sm">{t("overview.more", { count: found.length - MOST })}</Text>}
    </Alert>
  );
}

function Gateways() {
  const { t } = useTranslation();
  const say = useFigures();
  const defined = useQuery(gateways);
  const { data } = useQuery(summary);
  return (
    <Card withBorder component="section">
      <Title order={2} size="h4" mb="xs">{t("overview.gateways")}</Title>
      <Table aria-label={t("overview.gateways")}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th scope="col">{t("overview.gateway")}</Table.Th>
            <Table.Th scope="col" ta="right"><QueryTitle title={t("figures.qps")} query={promql.qps({ by: ["gateway"], edges: true })} /></Table.Th>
            <Table.Th scope="col" ta="right"><QueryTitle title={t("figures.errors")} query={promql.errors({ by: ["gateway"], edges: true })} /></Table.Th>
            <Table.Th scope="col" ta="right"><QueryTitle title={t("figures.p99")} query={promql.latency(0.99, { by: ["gateway"], edges: true })} /></Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {(defined.data ?? []).map(({ name }) => {
            const line = data?.gateways.find((one) => one.gateway === name);
            return (
              <Table.Tr key={name}>
                <Table.Th scope="row" fw={500}>{name}</Table.Th>
                <Table.Td ta="right" className="figure">{say.rate(line?.qps)}</Table.Td>
                <Table.Td ta="right" className="figure">{say.part(line && (line.qps ? line.exception_qps / line.qps : null))}</Table.Td>
                <Table.Td ta="right" className="figure">{say.ms(line && (line.p99 ?? null))}</Table.Td>
              </Table.Tr>
            );
          })}
        </Table.Tbody>
      </Table>
    </Card>
  );
}

function Proxies() {
  const { t } = useTranslation();
  const { data } = useQuery(proxies);
  const seen = useQuery(summary);
  const all = data?.length ?? 0;
  const synced = data?.filter((one) => unsynced(one) === 0 && one.held.length === 0).length ?? 0;
  return (
    <Card withBorder component="section">
      <Title order={2} size="h4" mb="xs">{t("overview.proxies")}</Title>
      {all === 0 ? (
        <Text>{t("overview.noProxies")}</Text>
      ) : (
        <Stack gap="xs" align="flex-start">
          <StateBadge tone={synced === all ? "good" : "watch"}>{t("overview.inSync", { count: synced, all })}</StateBadge>
          {seen.data && <Text size="sm">{t("overview.reporting", { count: seen.data.proxies.reporting, all: seen.data.proxies.connected })}</Text>}
        </Stack>
      )}
    </Card>
  );
}

function Sources() {
  const { t } = useTranslation();
  const { data } = useQuery(ready);
  return (
    <Card withBorder component="section">
      <Title order={2} size="h4" mb="xs">{t("overview.sources")}</Title>
      <Stack gap="xs">
        {(data?.sources ?? []).map((one) => (
          <Group key={one.name} gap="xs">
            <Text fw={500}>{one.name}</Text>
            <StateBadge tone={one.state === "complete" ? "good" : one.state === "stale" ? "bad" : "watch"}>{t(`sourceState.${one.state}`)}</StateBadge>
            <Text size="sm">
              {t("overview.services")}: {one.services}, {t("overview.instances")}: {one.instances}
            </Text>
          </Group>
        ))}
      </Stack>
    </Card>
  );
}
