/** What a release is to do: its steps on a line of time, what is checked, who is asked, and when it may go on. */
import { Alert, Card, Code, List, Stack, Table, Text, Timeline, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import type { Part, Schemas } from "../../api/client";
import { freezes } from "../../api/queries";
import { promql } from "../../parts/promql";
import { useFigures } from "../../parts/figures";

type Release = Schemas["Release"];

/** When each step began, by its number: decisions say it of the present run. */
function begun(release: Release): Map<number, number> {
  const found = new Map<number, number>();
  for (const one of release.progress?.decisions ?? []) if (!found.has(one.step - 1)) found.set(one.step - 1, one.at);
  return found;
}

export function Steps({ release }: { release: Release }) {
  const { t } = useTranslation();
  const say = useFigures();
  const { progress } = release;
  const since = begun(release);
  const at = (seconds: number) => new Date(seconds * 1000).toLocaleString();
  const ended = progress?.phase === "succeeded";
  return (
    <Card withBorder component="section">
      <Title order={2} size="h4" mb="sm">{t("releases.steps")}</Title>
      <Timeline active={progress ? (ended ? release.steps.length : progress.step) : -1}>
        {release.steps.map((step, index) => {
          const here = progress?.step === index;
          const began = progress && index <= progress.step ? since.get(index) : undefined;
          return (
            // biome-ignore lint: steps have no other identity than their place
            <Timeline.Item key={index} title={`${say.percent(step.percent)}${here ? ` ◀ ${t(`phase.${progress.phase}`)}` : ""}`} lineVariant={step.approval ? "dashed" : "solid"}>
              <Text size="sm">
                {t("releases.hold", { hold: step.hold ?? "0s" })}
                {step.approval ? `, ${t("releases.approval")}` : ""}
                {step.persons ? `, ${t("releases.persons", { count: step.persons })}` : ""}
                {step.by_others ? `, ${t("releases.byOthers")}` : ""}
              </Text>
              {began !== undefined && <Text size="xs">{t("releases.began", { time: at(began) })}</Text>}
              {here && step.approval && <Approvals step={step} progress={progress} />}
            </Timeline.Item>
          );
        })}
        <Timeline.Item title={release.at_end === "promote" ? t("releases.promotes") : t("releases.keeps")} />
      </Timeline>
    </Card>
  );
}

/** Who has approved the present step, how many are missing, and who may not. */
function Approvals({ step, progress }: { step: Schemas["Step"]; progress: Schemas["Progress"] }) {
  const { t } = useTranslation();
  const names = progress.approvers ?? [];
  const missing = progress.approved ? 0 : Math.max((step.persons ?? 1) - names.length, 0);
  return (
    <>
      {names.length > 0 && <Text size="xs">{t("releases.approvers", { names: names.join(", ") })}</Text>}
      {progress.approved && <Text size="xs">● {t("releases.approved")}</Text>}
      {missing > 0 && <Text size="xs">◆ {t("releases.approvalsMissing", { count: missing, all: step.persons ?? 1 })}</Text>}
      {missing > 0 && step.by_others && progress.by && <Text size="xs">{t("releases.notBy", { name: progress.by })}</Text>}
    </>
  );
}

/** The freezes that concern the release, and its own windows. */
export function Gates({ release }: { release: Release }) {
  const { t } = useTranslation();
  const known = useQuery(freezes).data ?? [];
  const concerned = known.filter((one) => !one.groups || one.groups.includes(release.group));
  const windows = release.windows ?? [];
  if (concerned.length + windows.length === 0) return null;
  return (
    <Card withBorder component="section" aria-label={t("releases.gates")}>
      <Title order={2} size="h4" mb="xs">{t("releases.gates")}</Title>
      <Stack gap="xs">
        {concerned.filter((one) => holds(one)).map((one) => (
          <Alert key={one.name} color="yellow" title={t("freezes.holds", { name: one.name })}><FreezeTimes freeze={one} /></Alert>
        ))}
        <List size="sm">
          {windows.map((one, index) => (
            // biome-ignore lint: windows have no other identity than their place
            <List.Item key={index}>{t("releases.window", { when: scheduled(one, t("edit.everyDay"), (day) => t(`days.${day}`)) })}</List.Item>
          ))}
          {concerned.filter((one) => !holds(one)).map((one) => (
            <List.Item key={one.name}>{t("freezes.one", { name: one.name })} <FreezeTimes freeze={one} /></List.Item>
          ))}
        </List>
      </Stack>
    </Card>
  );
}

type Day = NonNullable<Schemas["Schedule"]["days"]>[number];

function scheduled(one: Schemas["Schedule"], everyDay: string, name: (day: Day) => string): string {
  const days = one.days?.length ? one.days.map(name).join(", ") : everyDay;
  const hours = one.hours == null ? "00:00-24:00" : [one.hours].flat().join(", ");
  return `${days} ${hours} (${one.time_zone})`;
}

/** Whether a freeze holds now. */
export function holds(freeze: Schemas["Freeze"]): boolean {
  const now = Date.now();
  return (freeze.from == null || Date.parse(freeze.from) <= now) && (freeze.until == null || Date.parse(freeze.until) > now);
}

export function FreezeTimes({ freeze }: { freeze: Schemas["Freeze"] }) {
  const { t } = useTranslation();
  return <Text size="sm" span>{t("freezes.times", { from: freeze.from ?? t("freezes.always"), until: freeze.until ?? t("freezes.open") })}{freeze.reason ? `. ${freeze.reason}` : ""}</Text>;
}

/** The checks, each with the query that gives its figure. */
export function Checks({ release }: { release: Release }) {
  const { t } = useTranslation();
  const checks = release.checks ?? [];
  if (checks.length === 0) return null;
  return (
    <Card withBorder component="section">
      <Title order={2} size="h4" mb="xs">{t("releases.checks")}</Title>
      <Text size="sm" mb="xs">{t("releases.checksText", { interval: release.interval ?? "10s", patience: release.patience ?? "1h" })}</Text>
      <Table.ScrollContainer type="native" minWidth={480} tabIndex={0} role="region" aria-label={t("releases.checks")}>
        <Table aria-label={t("releases.checks")} fz="sm">
          <Table.Thead>
            <Table.Tr>
              <Table.Th scope="col">{t("releases.check")}</Table.Th>
              <Table.Th scope="col">{t("releases.limit")}</Table.Th>
              <Table.Th scope="col">{t("releases.window_of")}</Table.Th>
              <Table.Th scope="col">{t("releases.queryOf")}</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {checks.map((one, index) => (
              // biome-ignore lint: checks have no other identity than their place
              <Table.Tr key={index}>
                <Table.Td>{one.quantile ? `${one.measure} p${one.quantile * 100}` : one.measure}{(one.failures ?? 1) > 1 ? `, ${t("releases.failures", { count: one.failures })}` : ""}</Table.Td>
                <Table.Td>{limits(one, t("effect.base"))}</Table.Td>
                <Table.Td>{one.measure === "query" ? "–" : t("releases.windowOf", { window: one.window ?? "1m", requests: one.requests ?? 50 })}</Table.Td>
                <Table.Td>
                  <Code>{queryOf(one, release.lane)}</Code>
                  {one.prometheus && <Text size="xs">{one.prometheus}</Text>}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
    </Card>
  );
}

type Check = NonNullable<Release["checks"]>[number];

const limits = (one: Check, base: string): string =>
  [one.min != null && `≥ ${one.min}`, one.max != null && `≤ ${one.max}`, one.above_base != null && `≤ ${base} + ${one.above_base}`].filter(Boolean).join(", ");

/** The query that gives the figure of a check in Prometheus. */
export function queryOf(one: Part<Check, "measure">, lane: string): string {
  const asked = { labels: { lane }, by: ["service"], window: one.window ?? "1m" };
  const percent = (part: string) => `100 * ${part} / ${promql.qps(asked)}`;
  if (one.measure === "query") return one.query ?? "";
  if (one.measure === "latency") return promql.latency(one.quantile ?? 0.99, asked);
  return percent(one.measure === "error_rate" ? promql.exceptions(asked) : one.measure === "fallbacks" ? promql.fallbacks(asked) : promql.refusals(asked));
}

export function Hooks({ release }: { release: Release }) {
  const { t } = useTranslation();
  const hooks = release.hooks ?? [];
  if (hooks.length === 0) return null;
  const told = new Set(release.progress?.told ?? []);
  return (
    <Card withBorder component="section">
      <Title order={2} size="h4" mb="xs">{t("releases.hooks")}</Title>
      <List size="sm">
        {hooks.map((one) => (
          <List.Item key={one.name}>
            {one.name}: {t(`releases.hook_${one.when}`)} <Code>{one.url}</Code> {t("releases.hookTimeout", { timeout: one.timeout ?? "10s" })}
            {told.has(one.name) && ` ● ${t("releases.hookTold")}`}
          </List.Item>
        ))}
      </List>
    </Card>
  );
}
