/** Where a request goes, hop by hop, and why. */
import { Alert, Code, Group, List, Stack, Table, Text, Timeline, Title } from "@mantine/core";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../../api/client";
import { useFigures } from "../../parts/figures";
import { StateBadge } from "../../parts/StateBadge";
import { AtEdge } from "./AtEdge";

export type Explained = Schemas["Explained"];

/** Who serves a request at a hop, in a word. */
export function useServes() {
  const { t } = useTranslation();
  return (hop: Schemas["Hop"]) =>
    hop.refused ? t("group.refused") : hop.fallback ? t("group.fallsBack") : hop.tag === null ? t("effect.base") : hop.tag;
}

export function Way({ way, label }: { way: Explained; label: string }) {
  const { t } = useTranslation();
  const say = useFigures();
  const serves = useServes();
  return (
    <Stack component="section" aria-label={label} gap="md">
      <div>
        <Group gap="xs" mb={4}>
          <StateBadge tone={way.route === null && !way.answered ? "bad" : way.lane ? "good" : "idle"}>
            {way.route === null ? t("explain.noRoute") : way.answered ? t("explain.answered", { status: way.answered.status }) : way.lane ? t("explain.inLane", { lane: way.lane }) : t("effect.base")}
          </StateBadge>
          {way.route !== null && <Text size="sm">{t("explain.route", { route: way.route })}</Text>}
        </Group>
        <Text>{way.reason}</Text>
        {way.answered?.location && <Text size="sm">{t("explain.redirect")} <Code>{way.answered.location}</Code></Text>}
      </div>
      {(way.candidates ?? []).length > 0 && (
        <div>
          <Text fw={600} size="sm">{t("explain.candidates")}</Text>
          <List size="sm">
            {way.candidates.map((one) => (
              <List.Item key={one.lane ?? ""}>{one.lane ?? t("effect.base")}: {say.percent(one.share)}</List.Item>
            ))}
          </List>
        </div>
      )}
      {way.hops.length > 0 && (
        <div>
          <Title order={3} size="h5" mb="sm">{t("explain.hops")}</Title>
          <Timeline bulletSize={14} lineWidth={2} active={way.hops.length}>
            {way.hops.map((hop) => (
              <Timeline.Item key={`${hop.application} ${hop.service}`} title={<Text span fw={600}>{hop.application}</Text>}>
                <Group gap="xs">
                  <StateBadge tone={hop.refused ? "bad" : hop.fallback ? "watch" : hop.tag === null ? "idle" : "good"}>{serves(hop)}</StateBadge>
                  <Text size="sm">{hop.service}</Text>
                </Group>
                {hop.instances.length > 0 && <Text size="sm" className="figure">{hop.instances.join(", ")}</Text>}
                {(hop.unhealthy ?? []).length > 0 && <Text size="sm">{t("explain.unhealthy", { list: hop.unhealthy.join(", ") })}</Text>}
                {hop.inherited && <Text size="sm">{t("explain.inherited", { lane: hop.inherited.lane ?? t("effect.base"), reason: hop.inherited.reason })}</Text>}
                {hop.by_trace && <Text size="sm">{t("edit.byTrace")}</Text>}
                {hop.observed && <Text size="sm">{t("explain.observed", { ...hop.observed })}</Text>}
              </Timeline.Item>
            ))}
          </Timeline>
        </div>
      )}
      <AtEdge way={way} />
      <Evaluated way={way} label={`${t("explain.evaluated")}: ${label}`} />
      {(way.resting ?? []).length > 0 && (
        <div>
          <Text fw={600} size="sm">{t("explain.resting")}</Text>
          <List size="sm">{way.resting.map((one) => <List.Item key={one.lane}>{one.lane}: {one.reason}</List.Item>)}</List>
        </div>
      )}
      {way.forwarded && <Text size="sm">{t("explain.forwarded")} <Code>{way.forwarded.host}{way.forwarded.path}</Code></Text>}
      {way.removed_headers.length > 0 && <Alert color="gray" title={t("explain.removed")}>{way.removed_headers.join(", ")}</Alert>}
      <Text size="sm">{t("explain.client", { address: way.client_address })}</Text>
    </Stack>
  );
}

const wanted = (one: Schemas["ShownCondition"]) => `${one.source}${one.name ? ` ${one.name}` : ""} ${one.operator} ${one.value == null ? "" : Array.isArray(one.value) ? one.value.join(", ") : one.value}`;

function Evaluated({ way, label }: { way: Explained; label: string }) {
  const { t } = useTranslation();
  const lines = way.evaluated.flatMap((lane): { lane: Schemas["LaneOutcome"]; one: Schemas["ConditionOutcome"] | null; index: number }[] =>
    lane.conditions.length ? lane.conditions.map((one, index) => ({ lane, one, index })) : [{ lane, one: null, index: 0 }],
  );
  if (lines.length === 0) return null;
  return (
    <div>
      <Title order={3} size="h5" mb="xs">{t("explain.evaluated")}</Title>
      <Table.ScrollContainer type="native" minWidth={360} tabIndex={0} role="region" aria-label={label}>
        <Table aria-label={label} fz="sm">
          <Table.Thead>
            <Table.Tr>
              <Table.Th scope="col">{t("overview.lane")}</Table.Th>
              <Table.Th scope="col">{t("explain.condition")}</Table.Th>
              <Table.Th scope="col">{t("explain.has")}</Table.Th>
              <Table.Th scope="col">{t("explain.outcome")}</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {lines.map(({ lane, one, index }) => (
              <Table.Tr key={`${lane.lane} ${index}`}>
                <Table.Td>{lane.lane}</Table.Td>
                <Table.Td>{one && <Code>{wanted(one.condition)}</Code>}</Table.Td>
                <Table.Td>{one && (one.value === null ? t("explain.absent") : <Code>{one.value}</Code>)}</Table.Td>
                <Table.Td>
                  <StateBadge tone={(one ? one.met : lane.matched) ? "good" : "idle"}>{(one ? one.met : lane.matched) ? t("explain.met") : t("explain.unmet")}</StateBadge>
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      {way.evaluated_left_out > 0 && <Text size="sm">{t("explain.leftOut", { count: way.evaluated_left_out })}</Text>}
    </div>
  );
}
