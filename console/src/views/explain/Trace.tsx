/** The way of a real request, which the user sends with a token that the edge recognises. */
import { Alert, Button, Card, Group, List, Loader, Stack, Table, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { ApiError, type Schemas, call } from "../../api/client";
import { gateways } from "../../api/queries";
import { Refused } from "../../parts/Confirm";
import { Commands } from "../../parts/Effect";
import { StateBadge } from "../../parts/StateBadge";
import { type Question, curlLine } from "./request";

const SECONDS = 60;
const LOOK = 1_000; // milliseconds

export function Trace({ asked }: { asked: Question }) {
  const { t } = useTranslation();
  const [begun, setBegun] = useState<{ trace: Schemas["TraceBegun"]; line: string } | null>(null);
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState<ApiError | null>(null);
  const gateway = useQuery(gateways).data?.find((one) => one.name === asked.gateway);
  const start = async () => {
    setBusy(true);
    setWrong(null);
    try {
      const trace = (await call<Schemas["TraceBegun"]>({ method: "POST", path: "/v1/traces", body: { gateway: asked.gateway, seconds: SECONDS } })).data;
      const listener = gateway?.listeners[0];
      const origin = `${listener?.tls ? "https" : "http"}://${window.location.hostname}:${listener?.port ?? 80}`;
      setBegun({ trace, line: curlLine(asked, origin, [[trace.header, trace.token]]) });
    } catch (error) {
      setWrong(error instanceof ApiError ? error : new ApiError(0, null, String(error)));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Card withBorder component="section" aria-label={t("trace.title")}>
      <Group justify="space-between" mb="sm">
        <Title order={2} size="h4">{t("trace.title")}</Title>
        <Button size="xs" loading={busy} onClick={() => void start()}>{begun ? t("trace.again") : t("trace.start")}</Button>
      </Group>
      <Stack gap="sm">
        <Text size="sm">{t("trace.says", { seconds: SECONDS })}</Text>
        <Refused error={wrong} />
        {begun && <Commands commands={[begun.line]} />}
        {begun && <Seen id={begun.trace.id} key={begun.trace.id} />}
      </Stack>
    </Card>
  );
}

function Seen({ id }: { id: string }) {
  const { t } = useTranslation();
  const { data } = useQuery({
    queryKey: ["trace", id],
    queryFn: async () => (await call<Schemas["Trace"]>({ method: "GET", path: `/v1/traces/${encodeURIComponent(id)}` })).data,
    refetchInterval: ({ state }) => (state.data?.running === false ? false : LOOK),
  });
  if (!data) return null;
  const silent = [...(data.not_reporting ?? []), ...(data.not_ready ?? [])];
  return (
    <Stack gap="sm">
      {silent.length > 0 && <Alert color="yellow" title={t("trace.silent")}>{silent.join(", ")}</Alert>}
      {!data.seen && data.running && <Group gap="xs" role="status"><Loader size="xs" aria-hidden /><Text size="sm">{t("trace.waits")}</Text></Group>}
      {!data.seen && !data.running && <Text size="sm" role="status">{t("trace.missed")}</Text>}
      {data.seen && <Text role="status">{t("trace.seen", { route: data.route ?? "–", lane: data.lane ?? t("effect.base") })}</Text>}
      {data.hops.length > 0 && (
        <Table.ScrollContainer type="native" minWidth={640} tabIndex={0} role="region" aria-label={t("trace.hops")}>
          <Table aria-label={t("trace.hops")} fz="sm">
            <Table.Thead>
              <Table.Tr>
                {(["caller", "service", "instance", "lane", "how", "status", "time"] as const).map((one) => <Table.Th key={one} scope="col">{t(`trace.${one}`)}</Table.Th>)}
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {data.hops.map((hop, index) => (
                <Table.Tr key={`${index} ${hop.instance}`}>
                  <Table.Td pl={8 + hop.depth * 12}>{hop.caller}</Table.Td>
                  <Table.Td>{hop.application} ({hop.service})</Table.Td>
                  <Table.Td>{hop.instance} {hop.tag ?? t("effect.base")}</Table.Td>
                  <Table.Td>
                    {hop.fallback ? <StateBadge tone="watch">{hop.lane}: {t("group.fallsBack")}</StateBadge> : (hop.lane ?? t("effect.base"))}
                  </Table.Td>
                  <Table.Td>{hop.carrier ? t(`trace.by_${hop.carrier}`) : "–"}{hop.known === "perhaps" ? ` (${t("trace.perhaps")})` : ""}</Table.Td>
                  <Table.Td>{hop.status} {hop.flags.join(" ")}</Table.Td>
                  <Table.Td className="figure">{t("figures.ms", { value: hop.duration_ms })}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      {data.lost.length > 0 && (
        <Alert color="red" title={t("trace.lost")}>
          <List size="sm">
            {data.lost.map((one) => (
              <List.Item key={`${one.instance} ${one.to}`}>
                {t(one.healed ? "trace.healed" : "trace.losesTo", { application: one.application, instance: one.instance, lane: one.lane, to: one.to })}
                {one.certain ? "" : ` (${t("trace.perhaps")})`}
              </List.Item>
            ))}
          </List>
        </Alert>
      )}
    </Stack>
  );
}
