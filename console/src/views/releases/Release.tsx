/** One release: its steps on a line of time, its checks, what was decided and why, and what may be done now. */
import { Alert, Button, Card, Group, List, Stack, Table, Text, Timeline, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { type Schemas, call } from "../../api/client";
import { lanes, releasePath, summary } from "../../api/queries";
import { useRights } from "../../api/rights";
import { type Action, Confirm } from "../../parts/Confirm";
import { useFigures } from "../../parts/figures";
import { PhaseBadge } from "./PhaseBadge";

const ACTIONS = ["start", "pause", "resume", "approve", "abort"] as const;
type Verb = (typeof ACTIONS)[number];
const possible = (phase: string | undefined): Verb[] =>
  phase === "running" || phase === "starting" ? ["pause", "abort"] : phase === "paused" ? ["resume", "abort"] : phase === "waiting" ? ["approve", "pause", "abort"] : ["start"];

export default function Release() {
  const { t } = useTranslation();
  const say = useFigures();
  const { group, release: name } = useParams({ strict: false }) as { group: string; release: string };
  const path = releasePath(group, name);
  const { data, error } = useQuery({
    queryKey: ["documents", "release", path],
    queryFn: async () => (await call<Schemas["ReleaseStatus"]>({ method: "GET", path: `${path}/status` })).data,
    refetchInterval: 2_000,
  });
  const may = useRights().operates(group);
  const lane = useQuery(lanes).data?.find((one) => one.name === data?.release.lane);
  const line = useQuery(summary).data?.lanes.find((one) => one.lane === data?.release.lane);
  const [action, setAction] = useState<Action | null>(null);
  if (error) return <Alert color="red" role="alert" title={error.message} />;
  if (!data) return null;
  const { release, look, preflight } = data;
  const progress = release.progress;
  const under = progress && ["starting", "running", "paused", "waiting"].includes(progress.phase);
  const ask = (verb: Verb) =>
    setAction({
      title: t(`releases.${verb}`),
      says: t(`releases.${verb}Says`, {
        lane: release.lane,
        share: say.percent(verb === "start" ? release.steps[0]?.percent : lane?.ratio?.percent),
        next: say.percent(release.steps[(progress?.step ?? 0) + 1]?.percent ?? progress?.target.percent),
        qps: say.rate(line?.qps),
      }),
      call: { method: "POST", path: `${path}/${verb}` },
      command: `laneway release ${verb} ${release.name}`,
      danger: verb === "abort",
      ...(verb === "start" && { force: "force=true" }),
    });
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
            {possible(progress?.phase).map((verb) => (
              <Button key={verb} variant={verb === "abort" ? "outline" : "filled"} color={verb === "abort" ? "red" : undefined} onClick={() => ask(verb)}>
                {t(`releases.${verb}`)}
              </Button>
            ))}
          </Group>
        )}
      </Group>
      <Text>{t("releases.about", { lane: release.lane, group: release.group, asked: say.percent(lane?.ratio?.percent), seen: say.part(line?.share) })}</Text>
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
      <Card withBorder component="section">
        <Title order={2} size="h4" mb="sm">{t("releases.steps")}</Title>
        <Timeline active={progress ? progress.step : -1}>
          {release.steps.map((step, index) => (
            // biome-ignore lint: steps have no other identity than their place
            <Timeline.Item key={index} title={`${say.percent(step.percent)}${progress?.step === index ? ` ◀ ${t(`phase.${progress.phase}`)}` : ""}`} lineVariant={step.approval ? "dashed" : "solid"}>
              <Text size="sm">
                {t("releases.hold", { hold: step.hold ?? "0s" })}
                {step.approval ? `, ${t("releases.approval")}` : ""}
              </Text>
            </Timeline.Item>
          ))}
          <Timeline.Item title={release.at_end === "promote" ? t("releases.promotes") : t("releases.keeps")} />
        </Timeline>
      </Card>
      {look && (
        <Card withBorder component="section">
          <Title order={2} size="h4" mb="sm">{t("releases.look")}</Title>
          <Text size="sm" mb="xs">{look.why}</Text>
          <Findings findings={look.findings} label={t("releases.look")} />
        </Card>
      )}
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
      <Confirm action={action} close={() => setAction(null)} />
    </Stack>
  );
}

function Findings({ findings, label }: { findings: Schemas["Finding"][]; label: string }) {
  const { t } = useTranslation();
  const verdicts = { passed: t("releases.passed"), failed: `▲ ${t("releases.failed")}`, "not enough data": `◆ ${t("releases.notEnough")}` };
  return (
    <Table.ScrollContainer minWidth={360} tabIndex={0} aria-label={label}>
      <Table fz="sm" aria-label={label}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th scope="col">{t("releases.check")}</Table.Th>
            <Table.Th scope="col">{t("releases.verdict")}</Table.Th>
            <Table.Th scope="col">{t("releases.service")}</Table.Th>
            <Table.Th scope="col" ta="right">{t("edit.value")}</Table.Th>
            <Table.Th scope="col" ta="right">{t("releases.limit")}</Table.Th>
            <Table.Th scope="col" ta="right">{t("releases.requests")}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {findings.map((one) => (
            <Table.Tr key={one.check}>
              <Table.Td>{one.check}</Table.Td>
              <Table.Td>{verdicts[one.verdict]}</Table.Td>
              <Table.Td>{one.service || "–"}</Table.Td>
              <Table.Td ta="right">{one.value ?? t("figures.none")}</Table.Td>
              <Table.Td ta="right">{one.limit ?? "–"}</Table.Td>
              <Table.Td ta="right">{one.requests ?? 0}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
