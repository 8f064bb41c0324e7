/** The way of requests through a group, as a picture and as a table, and what of it is shown. */
import { Button, Card, Group, Loader, MultiSelect, Stack, Switch, Tabs, Text, TextInput, Title } from "@mantine/core";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../../api/client";
import { type Column, DataTable } from "../../parts/DataTable";
import { promql } from "../../parts/promql";
import { QueryTitle } from "../../parts/QueryTitle";
import { useFigures } from "../../parts/figures";
import { Picture } from "./Picture";
import { type Stop, type Track, servedBy, shownOf } from "./model";

const MANY = 12; // applications, of which those that only base serves are left out at first

interface Props {
  group: Schemas["LaneGroup"];
  /** Names of all lanes of the group, and of those that are shown. */
  lanes: string[];
  drawn: string[];
  choose: (lanes: string[]) => void;
  tracks: Track[];
  /** Whether it is not yet known who serves the lanes. */
  loading: boolean;
  gatewayQps: string;
  losing: ReadonlySet<string>;
}

export function Way({ group, lanes, drawn, choose, tracks, loading, gatewayQps, losing }: Props) {
  const { t } = useTranslation();
  const many = group.applications.length > MANY;
  const [special, setSpecial] = useState(many);
  const [filter, setFilter] = useState("");
  const shown = shownOf(group.applications, tracks, losing, { special, filter });
  const seen = tracks.map((one) => ({ ...one, stops: one.stops.filter((stop) => shown.has(stop.application)) }));
  const left = group.applications.length - shown.size;
  return (
    <Card withBorder component="section">
      <Group justify="space-between" align="flex-end" mb="sm">
        <Title order={2} size="h4">{t("group.way")}</Title>
        <Group align="flex-end">
          {many && (
            <>
              <Switch label={t("group.special")} checked={special} onChange={(event) => setSpecial(event.currentTarget.checked)} pb={6} />
              <TextInput label={t("group.filter")} value={filter} onChange={(event) => setFilter(event.currentTarget.value)} />
            </>
          )}
          {drawn.length < lanes.length && <Button variant="default" onClick={() => choose(lanes)}>{t("group.allLanes")}</Button>}
          {lanes.length > 1 && (
            <MultiSelect
              label={t("group.focus")}
              data={lanes}
              value={drawn}
              onChange={choose}
              searchable
              maw={420}
              clearButtonProps={{ "aria-label": t("group.none") }}
            />
          )}
        </Group>
      </Group>
      {left > 0 && !loading && <Text size="sm" role="status" mb="xs">{t("group.leftOut", { count: left })}</Text>}
      {loading ? (
        <Loader size="sm" aria-label={t("shell.loading")} />
      ) : (
        <Tabs defaultValue="picture" keepMounted={false}>
          <Tabs.List>
            <Tabs.Tab value="picture">{t("group.picture")}</Tabs.Tab>
            <Tabs.Tab value="table">{t("group.table")}</Tabs.Tab>
          </Tabs.List>
          <Tabs.Panel value="picture" pt="sm">
            <Picture gateway={group.gateway} gatewayQps={gatewayQps} tracks={seen} promoted={group.promoted} losing={losing} />
          </Tabs.Panel>
          <Tabs.Panel value="table" pt="sm">
            <TracksTable tracks={seen} losing={losing} />
          </Tabs.Panel>
        </Tabs>
      )}
    </Card>
  );
}

/** The same as the picture. */
function TracksTable({ tracks, losing }: { tracks: Track[]; losing: ReadonlySet<string> }) {
  const { t } = useTranslation();
  const say = useFigures();
  const columns: Column<Stop>[] = [
    { key: "track", title: t("overview.lane"), cell: (stop) => stop.lane ?? t("effect.base") },
    { key: "application", title: t("group.application"), cell: (stop) => stop.application },
    {
      key: "serving",
      title: t("group.servedBy"),
      cell: (stop) => servedBy(stop, t),
    },
    { key: "dead", title: t("group.unhealthy"), figure: true, cell: (stop) => (stop.unhealthy ? `▲ ${stop.unhealthy}` : "0") },
    { key: "leftOut", title: t("group.leftOutTitle"), figure: true, cell: (stop) => (stop.leftOut ? `▲ ${stop.leftOut}` : "0") },
    { key: "qps", title: <QueryTitle title={t("figures.qps")} query={promql.qps({ by: ["application", "lane"] })} />, figure: true, cell: (stop) => say.rate(stop.qps) },
    { key: "errors", title: <QueryTitle title={t("figures.errors")} query={promql.errors({ by: ["application", "lane"] })} />, figure: true, cell: (stop) => say.part(stop.life === "unknown" ? undefined : stop.errors) },
    { key: "fallbacks", title: <QueryTitle title={t("group.fallbacksMinute")} query={`60 * ${promql.fallbacks({ by: ["application", "lane"] })}`} />, figure: true, cell: (stop) => stop.fallbacks || "0" },
    { key: "colour", title: t("group.colour"), cell: (stop) => (losing.has(stop.application) ? `◆ ${t("group.losesColour")}` : "–") },
  ];
  return (
    <Stack gap={0}>
      <DataTable
        label={t("group.table")}
        columns={columns}
        rows={tracks.flatMap((one) => one.stops)}
        rowKey={(stop) => `${stop.lane ?? ""}/${stop.application}`}
        text={(stop) => `${stop.lane ?? t("effect.base")} ${stop.application}`}
      />
    </Stack>
  );
}
