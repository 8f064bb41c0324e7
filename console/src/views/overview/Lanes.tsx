/** Every lane in one table, what is not well first. */
import { Anchor, Button, Card, Group, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../../api/client";
import { groups, lanes, releases, summary } from "../../api/queries";
import { useRights } from "../../api/rights";
import { type Column, DataTable } from "../../parts/DataTable";
import { BesideBase, useFigures } from "../../parts/figures";
import { promql } from "../../parts/promql";
import { QueryTitle } from "../../parts/QueryTitle";
import { StateBadge } from "../../parts/StateBadge";
import { failsMore, isSlower } from "./problems";

interface Row {
  group: Schemas["LaneGroup"] | undefined;
  lane: Schemas["Lane"];
  line: Schemas["LaneLine"] | undefined;
  release: Schemas["Release"] | undefined;
  weight: number;
}

export const underWay = (release: Schemas["Release"]): boolean => ["starting", "running", "paused", "waiting"].includes(release.progress?.phase ?? "");

function weigh(lane: Schemas["Lane"], line: Schemas["LaneLine"] | undefined): number {
  if (!line) return 0;
  return (line.refusal_qps > 0 ? 8 : 0) + (failsMore(line) ? 8 : 0) + (line.fallback_qps > 0 ? 4 : 0) + (isSlower(line) ? 2 : 0) + (lane.status.warnings?.length ? 1 : 0);
}

export function Lanes() {
  const { t } = useTranslation();
  const say = useFigures();
  const { admin } = useRights();
  const known = { groups: useQuery(groups).data, lanes: useQuery(lanes).data, releases: useQuery(releases).data, summary: useQuery(summary).data };
  const rows = useMemo<Row[]>(() => {
    const groupOf = new Map(known.groups?.map((one) => [one.name, one]));
    const lineOf = new Map(known.summary?.lanes.map((one) => [one.lane, one]));
    const releaseOf = new Map(known.releases?.filter(underWay).map((one) => [one.lane, one]));
    return (known.lanes ?? [])
      .map((lane) => {
        const line = lineOf.get(lane.name);
        return { lane, line, group: groupOf.get(lane.group), release: releaseOf.get(lane.name), weight: weigh(lane, line) };
      })
      .sort((one, other) => other.weight - one.weight || one.lane.group.localeCompare(other.lane.group) || one.lane.name.localeCompare(other.lane.name));
  }, [known.groups, known.lanes, known.releases, known.summary]);

  const columns: Column<Row>[] = [
    {
      key: "group",
      title: t("overview.group"),
      cell: ({ lane }) => <Anchor href={`#/groups/${encodeURIComponent(lane.group)}`}>{lane.group}</Anchor>,
    },
    { key: "lane", title: t("overview.lane"), cell: ({ lane }) => <Text fw={600} size="sm">{lane.name}</Text> },
    { key: "state", title: t("overview.state"), cell: (row) => <LaneState lane={row.lane} group={row.group} /> },
    { key: "asked", title: t("overview.asked"), figure: true, cell: ({ lane }) => (lane.ratio ? say.percent(lane.ratio.percent) : t("overview.byRule")) },
    { key: "seen", title: <QueryTitle title={t("overview.seen")} query={promql.shares()} />, figure: true, cell: ({ line }) => say.part(line && (line.share ?? null)) },
    { key: "qps", title: <QueryTitle title={t("figures.qps")} query={promql.qps({ by: ["lane"] })} />, figure: true, cell: ({ line }) => say.rate(line?.qps) },
    {
      key: "errors",
      title: <QueryTitle title={t("figures.errors")} query={promql.errors({ by: ["lane"] })} />,
      figure: true,
      cell: ({ line }) => <BesideBase lane={say.part(line && (line.error_rate ?? null))} base={say.part(line && (line.base_error_rate ?? null))} worse={line !== undefined && failsMore(line)} />,
    },
    {
      key: "p99",
      title: <QueryTitle title={t("figures.p99")} query={promql.latency(0.99, { by: ["lane"] })} />,
      figure: true,
      cell: ({ line }) => <BesideBase lane={say.ms(line && (line.p99 ?? null))} base={say.ms(line && (line.base_p99 ?? null))} worse={line !== undefined && isSlower(line)} />,
    },
    { key: "fallbacks", title: <QueryTitle title={t("overview.fallbacks")} query={promql.fallbacks({ by: ["lane"] })} />, figure: true, cell: ({ line }) => (line?.fallback_qps ? `▲ ${say.rate(line.fallback_qps)}` : "0") },
    { key: "warnings", title: t("overview.warnings"), figure: true, cell: ({ lane }) => lane.status.warnings?.length || "0" },
    {
      key: "release",
      title: t("overview.release"),
      cell: ({ release }) =>
        release?.progress ? t("overview.step", { step: release.progress.step + 1, all: release.steps.length, phase: t(`phase.${release.progress.phase}`) }) : "–",
    },
  ];
  const empty = (known.groups ?? []).filter((group) => !known.lanes?.some((lane) => lane.group === group.name));
  return (
    <Card withBorder component="section">
      <Group justify="space-between" mb="xs">
        <Title order={2} size="h4">{t("overview.lanes")}</Title>
        {admin && <Button component="a" size="xs" variant="default" href="#/new-group">{t("actions.newGroup")}</Button>}
      </Group>
      <DataTable
        label={t("overview.lanes")}
        columns={columns}
        rows={rows}
        rowKey={({ lane }) => `${lane.group}/${lane.name}`}
        text={({ lane }) => `${lane.group} ${lane.name} ${lane.tag}`}
        empty={known.lanes ? t("overview.noLanes") : t("shell.loading")}
      />
      {empty.length > 0 && (
        <Group gap="xs" mt="sm">
          <Text size="sm">{t("overview.groups")} ({t("overview.emptyGroup")}):</Text>
          {empty.map(({ name }) => (
            <Anchor key={name} size="sm" href={`#/groups/${encodeURIComponent(name)}`}>{name}</Anchor>
          ))}
        </Group>
      )}
    </Card>
  );
}

export function LaneState({ lane, group }: { lane: Schemas["Lane"]; group: Schemas["LaneGroup"] | undefined }) {
  const { t } = useTranslation();
  if (group?.promoted === lane.name) return <StateBadge tone="good">{t("overview.promoted")}</StateBadge>;
  if (!lane.enabled) return <StateBadge tone="idle">{t("overview.off")}</StateBadge>;
  if (lane.status.times && !lane.status.times.open) return <StateBadge tone="idle">{t("overview.resting")}</StateBadge>;
  return <StateBadge tone="good">{t("overview.on")}</StateBadge>;
}
