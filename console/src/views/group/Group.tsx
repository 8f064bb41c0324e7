import { Alert, Anchor, Button, Card, Group as Row, List, Menu, SimpleGrid, Stack, Text, Title } from "@mantine/core";
import { useQueries, useQuery, useQueryClient } from "@tanstack/react-query";
import { useParams, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../../api/client";
import { document, focused, groups, laneMatches, lanePath, lanes as allLanes, propagation, recentLaneTraffic, releases, summary, tagMatches } from "../../api/queries";
import { useRights } from "../../api/rights";
import { type Action, Confirm } from "../../parts/Confirm";
import { type Column, DataTable } from "../../parts/DataTable";
import { ShareDialog } from "../../parts/ShareDialog";
import { BesideBase, useFigures } from "../../parts/figures";
import { deleted, promotion, switched } from "../../parts/laneActions";
import { promql } from "../../parts/promql";
import { QueryTitle } from "../../parts/QueryTitle";
import { LaneState, underWay } from "../overview/Lanes";
import { failsMore, isSlower } from "../overview/problems";
import { GroupActions, useGroupTag } from "./GroupActions";
import { LaneChart } from "./LaneChart";
import { Way } from "./Way";
import { tracksOf } from "./model";

const AT_FIRST = 5; // lanes that are drawn; more are chosen, and have no charts

const NO_TAG = "base"; // a tag that no lane has: who serves base is told with it

export default function Group() {
  const { t } = useTranslation();
  const { group: name } = useParams({ strict: false }) as { group: string };
  const known = useQuery(groups);
  const group = known.data?.find((one) => one.name === name);
  if (known.data && !group) return <Alert color="red" title={t("group.absent", { group: name })} />;
  return group ? <Whole group={group} key={name} /> : null;
}

function Whole({ group }: { group: Schemas["LaneGroup"] }) {
  const { t } = useTranslation();
  const say = useFigures();
  const mine = (useQuery(allLanes).data ?? []).filter((one) => one.group === group.name);
  const focus = useFocus();
  const [chosen, setChosen] = useState<string[] | null>(focus);
  const [followed, setFollowed] = useState(focus?.[0]);
  if (followed !== focus?.[0]) {
    setFollowed(focus?.[0]);
    setChosen(focus);
  }
  const drawn = mine.filter((one, index) => (chosen ? chosen.includes(one.name) : index < AT_FIRST));
  const matches = useQueries({ queries: drawn.map((one) => laneMatches(group.name, one.name)) });
  const traffic = useQueries({ queries: drawn.map((one) => recentLaneTraffic(one.name)) });
  const seen = useQuery(summary).data;
  const losing = new Set((useQuery(propagation).data?.items ?? []).filter((one) => one.verdict === "loses").map((one) => one.application));
  const pairs = <T,>(found: { data?: T | undefined }[]) => new Map(drawn.flatMap((one, index) => (found[index]?.data ? [[one.name, found[index].data] as [string, T]] : [])));
  const served = pairs(matches);
  const bare = useQuery({ ...tagMatches(group.name, NO_TAG), enabled: drawn.length === 0 }).data;
  const tracks = tracksOf({ group, lanes: drawn.filter((one) => served.has(one.name)), matches: served, bare, traffic: pairs(traffic), summary: seen });
  const warnings = [...(group.status.warnings ?? []), ...mine.flatMap((one) => (one.status.warnings ?? []).map((text) => `${one.name}: ${text}`))];
  return (
    <Stack>
      <Row justify="space-between">
        <div>
          <Title order={1} size="h2">{group.name}</Title>
          <Text size="sm">{t("group.at", { gateway: group.gateway, count: group.applications.length })}</Text>
        </div>
        <GroupActions group={group} lanes={mine} />
      </Row>
      {warnings.length > 0 && (
        <Alert color="yellow" title={t("overview.warnings")}>
          <List size="sm">{warnings.map((text) => <List.Item key={text}>{text}</List.Item>)}</List>
        </Alert>
      )}
      <Lanes group={group} lanes={mine} />
      <Way
        group={group}
        lanes={mine.map((one) => one.name)}
        drawn={drawn.map((one) => one.name)}
        choose={setChosen}
        tracks={tracks}
        loading={served.size === 0 && matches.some((one) => one.isPending)}
        gatewayQps={say.rate(seen?.gateways.find((one) => one.gateway === group.gateway)?.qps)}
        losing={losing}
      />
      {drawn.slice(0, AT_FIRST).map((lane) => (
        <Card withBorder component="section" key={lane.name}>
          <Title order={2} size="h4" mb="xs">{lane.name}</Title>
          <SimpleGrid cols={{ base: 1, md: 3 }}>
            <LaneChart lane={lane.name} measure="qps" title={t("figures.qpsLong")} query={promql.qps({ labels: { lane: lane.name } })} />
            <LaneChart
              lane={lane.name}
              measure="exception_qps"
              title={t("group.exceptions")}
              query={promql.exceptions({ labels: { lane: lane.name } })}
            />
            <LaneChart
              lane={lane.name}
              measure="p99"
              title={t("group.p99")}
              query={promql.latency(0.99, { labels: { lane: lane.name } })}
            />
          </SimpleGrid>
        </Card>
      ))}
    </Stack>
  );
}

/** The lane that the address names. */
function useFocus(): string[] | null {
  const { lane } = useSearch({ strict: false }) as { lane?: unknown };
  return lane === undefined ? null : [String(lane)];
}

function Lanes({ group, lanes }: { group: Schemas["LaneGroup"]; lanes: Schemas["Lane"][] }) {
  const { t } = useTranslation();
  const say = useFigures();
  const queries = useQueryClient();
  const may = useRights().operates(group.name);
  const lineOf = new Map((useQuery(summary).data?.lanes ?? []).map((one) => [one.lane, one]));
  const [action, setAction] = useState<Action | null>(null);
  const planned = useQuery(releases).data;
  const tag = useGroupTag(group.name);
  const [sharing, setSharing] = useState<{ lane: Schemas["Lane"]; etag: string | null } | null>(null);
  /** The lane as it is now, and its tag: what is confirmed is the change of just that. */
  const fresh = async (lane: Schemas["Lane"]) => {
    const { data, etag } = await queries.fetchQuery({ ...document<Schemas["Lane"]>(lanePath(lane.group, lane.name)), staleTime: 0 });
    return { lane: data, etag };
  };
  const ask = async (lane: Schemas["Lane"], make: typeof switched) => {
    const now = await fresh(lane);
    const release = planned?.find((one) => one.lane === lane.name && underWay(one));
    setAction(make({ ...now, line: lineOf.get(lane.name), release }, t, say));
  };
  const promote = async (lane: string) => setAction(promotion("promote", group.name, lane, await tag(), t));
  const columns: Column<Schemas["Lane"]>[] = [
    { key: "lane", title: t("overview.lane"), cell: (lane) => <Anchor fw={600} size="sm" href={`#${focused(lane)}`}>{lane.name}</Anchor> },
    { key: "tag", title: t("group.tag"), cell: (lane) => lane.tag },
    { key: "state", title: t("overview.state"), cell: (lane) => <LaneState lane={lane} group={group} /> },
    { key: "asked", title: t("overview.asked"), figure: true, cell: (lane) => (lane.ratio ? say.percent(lane.ratio.percent) : t("overview.byRule")) },
    { key: "seen", title: <QueryTitle title={t("overview.seen")} query={promql.share(group.gateway)} />, figure: true, cell: (lane) => {
      const line = lineOf.get(lane.name);
      return say.part(line && (line.share ?? null));
    } },
    { key: "qps", title: <QueryTitle title={t("figures.qps")} query={promql.qps({ by: ["lane"] })} />, figure: true, cell: (lane) => say.rate(lineOf.get(lane.name)?.qps) },
    {
      key: "errors",
      title: <QueryTitle title={t("figures.errors")} query={promql.errors({ by: ["lane"] })} />,
      figure: true,
      cell: (lane) => {
        const line = lineOf.get(lane.name);
        return <BesideBase lane={say.part(line && (line.error_rate ?? null))} base={say.part(line && (line.base_error_rate ?? null))} worse={line !== undefined && failsMore(line)} />;
      },
    },
    {
      key: "p99",
      title: <QueryTitle title={t("figures.p99")} query={promql.latency(0.99, { by: ["lane"] })} />,
      figure: true,
      cell: (lane) => {
        const line = lineOf.get(lane.name);
        return <BesideBase lane={say.ms(line && (line.p99 ?? null))} base={say.ms(line && (line.base_p99 ?? null))} worse={line !== undefined && isSlower(line)} />;
      },
    },
  ];
  if (may)
    columns.push({
      key: "actions",
      title: t("actions.title"),
      cell: (lane) => (
        <Row gap="xs" wrap="nowrap">
          <Button size="xs" variant="default" onClick={() => void ask(lane, switched)}>{lane.enabled ? t("actions.disable") : t("actions.enable")}</Button>
          <Menu>
            <Menu.Target>
              <Button size="xs" variant="default" aria-label={t("actions.moreOf", { lane: lane.name })}>…</Button>
            </Menu.Target>
            <Menu.Dropdown>
              {lane.ratio && <Menu.Item onClick={() => void fresh(lane).then(setSharing)}>{t("actions.share")}</Menu.Item>}
              <Menu.Item component="a" href={`#/groups/${encodeURIComponent(group.name)}/lanes/${encodeURIComponent(lane.name)}/edit`}>{t("actions.edit")}</Menu.Item>
              {!group.promoted && <Menu.Item onClick={() => void promote(lane.name)}>{t("actions.promote")}</Menu.Item>}
              <Menu.Item color="red" onClick={() => void ask(lane, deleted)}>{t("actions.delete")}</Menu.Item>
            </Menu.Dropdown>
          </Menu>
        </Row>
      ),
    });
  return (
    <Card withBorder component="section">
      <Row justify="space-between" mb="xs">
        <Title order={2} size="h4">{t("overview.lanes")}</Title>
        {may && <Button component="a" href={`#/groups/${encodeURIComponent(group.name)}/new-lane`} size="xs">{t("actions.newLane")}</Button>}
      </Row>
      <DataTable label={t("overview.lanes")} columns={columns} rows={lanes} rowKey={(lane) => lane.name} text={(lane) => `${lane.name} ${lane.tag}`} empty={t("overview.noLanes")} height="50vh" />
      <Confirm action={action} close={() => setAction(null)} />
      <ShareDialog lane={sharing?.lane ?? null} etag={sharing?.etag ?? null} close={() => setSharing(null)} then={setAction} />
    </Card>
  );
}
