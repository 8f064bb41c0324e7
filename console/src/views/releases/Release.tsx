/** One release: its steps on a line of time, its checks, what was decided and why, and what may be done now. */
import { Alert, Button, Card, Group, List, Stack, Text, Timeline, Title } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { type Schemas, call } from "../../api/client";
import { document, groups, lanes, releasePath, summary } from "../../api/queries";
import { useRights } from "../../api/rights";
import { type Action, Confirm } from "../../parts/Confirm";
import { useFigures } from "../../parts/figures";
import { promql } from "../../parts/promql";
import { QueryTitle } from "../../parts/QueryTitle";
import { Findings } from "./Findings";
import { PhaseBadge } from "./PhaseBadge";
import { Checks, Gates, Hooks, Steps } from "./Plan";
import { type Verb, acted, cannotApprove, possible, releaseDeleted } from "./releaseActions";

export default function Release() {
  const { t } = useTranslation();
  const say = useFigures();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const { group, release: name } = useParams({ strict: false }) as { group: string; release: string };
  const path = releasePath(group, name);
  const { data, error } = useQuery({
    queryKey: ["documents", "release", path],
    queryFn: async () => (await call<Schemas["ReleaseStatus"]>({ method: "GET", path: `${path}/status` })).data,
    refetchInterval: 2_000,
  });
  const rights = useRights();
  const may = rights.operates(group);
  const lane = useQuery(lanes).data?.find((one) => one.name === data?.release.lane);
  const line = useQuery(summary).data?.lanes.find((one) => one.lane === data?.release.lane);
  const gateway = useQuery(groups).data?.find((one) => one.name === group)?.gateway;
  const [action, setAction] = useState<Action | null>(null);
  const [gone, setGone] = useState(false);
  if (gone && error) return null;
  if (error) return <Alert color="red" role="alert" title={error.message} />;
  if (!data) return null;
  const { release, look, preflight } = data;
  const progress = release.progress;
  const cannot = cannotApprove(release, rights.name);
  const under = progress && ["starting", "running", "paused", "waiting"].includes(progress.phase);
  /** The release as it is now, and its tag: the action is refused if it has gone on meanwhile. */
  const fresh = () => queries.fetchQuery({ ...document<Schemas["Release"]>(path), staleTime: 0 });
  const ask = async (verb: Verb) => {
    const now = await fresh();
    setGone(false);
    setAction(acted(verb, { release: now.data, lane, line, etag: now.etag }, t, say));
  };
  const remove = async () => {
    const now = await fresh();
    setGone(true);
    setAction(releaseDeleted(now.data, now.etag, t));
  };
  const at = (seconds: number) => new Date(seconds * 1000).toLocaleString();
  const decisions = [...(progress?.decisions ?? [])].reverse();
  return (
    <Stack>
      <Group justify="space-between">
        <Group>
          <Title order={1} size="h2">{release.name}</Title>
          <PhaseBadge release={release} />
        </Group>
        {may && (
          <Group gap="xs">
            {possible(progress?.phase).filter((verb) => verb !== "approve" || !cannot).map((verb) => (
              <Button key={verb} variant={verb === "abort" ? "outline" : "filled"} color={verb === "abort" ? "red" : undefined} onClick={() => void ask(verb)}>
                {t(`releases.${verb}`)}
              </Button>
            ))}
            {!under && (
              <>
                <Button component="a" variant="default" href={`#/releases/${encodeURIComponent(group)}/${encodeURIComponent(name)}/edit`}>{t("releases.edit")}</Button>
                <Button variant="outline" color="red" onClick={() => void remove()}>{t("releases.delete")}</Button>
              </>
            )}
          </Group>
        )}
      </Group>
      <Group gap="xs">
        <Text>{t("releases.about", { lane: release.lane, group: release.group, asked: say.percent(lane?.ratio?.percent), seen: say.part(line?.share) })}</Text>
        {gateway !== undefined && <QueryTitle title={t("overview.seen")} query={promql.share(gateway)} />}
      </Group>
      {may && cannot && <Alert color="blue" role="status" title={t(`releases.${cannot}`)} />}
      {!under && preflight.wrong.length > 0 && (
        <Alert color="red" title={t("releases.preflight")}>
          <List size="sm">{preflight.wrong.map((one) => <List.Item key={one}>{one}</List.Item>)}</List>
        </Alert>
      )}
      {!under && preflight.notes.length > 0 && (
        <Alert color="yellow" title={t("releases.notes")}>
          <List size="sm">{preflight.notes.map((one) => <List.Item key={one}>{one}</List.Item>)}</List>
        </Alert>
      )}
      <Steps release={release} />
      {look && (
        <Card withBorder component="section">
          <Title order={2} size="h4" mb="sm">{t("releases.look")}</Title>
          <Text size="sm" mb="xs">{look.why}</Text>
          {look.findings.length > 0 && <Findings findings={look.findings} label={t("releases.look")} />}
        </Card>
      )}
      <Checks release={release} />
      <Hooks release={release} />
      <Gates release={release} />
      {decisions.length > 0 && (
        <Card withBorder component="section">
          <Title order={2} size="h4" mb="sm">{t("releases.decisions")}</Title>
          <Timeline active={-1}>
            {decisions.map((one) => (
              <Timeline.Item key={`${one.at} ${one.what}`} title={one.what}>
                <Text size="xs">{at(one.at)}</Text>
                {(one.findings ?? []).length > 0 && <Findings findings={one.findings ?? []} label={one.what} />}
              </Timeline.Item>
            ))}
          </Timeline>
        </Card>
      )}
      <Confirm action={action} close={() => setAction(null)} {...(gone && { done: () => void navigate({ to: "/releases" }) })} />
    </Stack>
  );
}
