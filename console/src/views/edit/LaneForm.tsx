/** The fields of a lane, the way to all of which is the YAML beside. */
import { Alert, Button, Fieldset, Group, List, MultiSelect, NumberInput, SegmentedControl, Select, Stack, Switch, TagsInput, Text, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../../api/client";
import type { Document } from "../../api/effects";
import { groups, routes, tagMatches } from "../../api/queries";
import type { Wrong } from "./Editor";

export const LANE_FIELDS = ["kind", "group", "name", "tag", "enabled", "priority", "routes", "fallback", "rule", "ratio", "from", "until"];

type Condition = { source: string; name?: string; operator: string; value?: unknown };
type Rule = { match?: "all" | "any"; conditions?: Condition[] };
type Ratio = { percent?: number; routes?: Record<string, number>; sticky?: Record<string, unknown> };
const SOURCES = ["header", "query", "cookie", "method", "path", "host", "client_address"];
const NAMED = ["header", "query", "cookie"];
const OPERATORS = ["==", "!=", "in", "percentage", "regex", "prefix", "exists", "absent"];
const FIRST: Condition = { source: "header", name: "canary", operator: "==", value: "gray" };

interface Props {
  document: Document;
  change: (change: Document) => void;
  wrong: Wrong;
  isNew: boolean;
}

export function LaneForm({ document, change, wrong, isNew }: Props) {
  const { t } = useTranslation();
  const group = String(document.group ?? "");
  const gateway = useQuery(groups).data?.find((one) => one.name === group)?.gateway;
  const known = (useQuery(routes).data ?? []).filter((one) => one.gateway === gateway && one.service).map((one) => one.name);
  const ratio = document.ratio as Ratio | undefined;
  const rule = document.rule as Rule | undefined;
  const text = (field: string) => String(document[field] ?? "");
  const fallback = document.fallback ?? "base";
  return (
    <>
      <Group grow align="flex-start">
        <TextInput label={t("edit.name")} value={text("name")} onChange={(event) => change({ name: event.currentTarget.value })} disabled={!isNew} error={wrong("name")} required />
        <TextInput label={t("group.tag")} value={text("tag")} onChange={(event) => change({ tag: event.currentTarget.value })} error={wrong("tag")} required />
      </Group>
      <TagMatches group={group} tag={text("tag")} />
      <SegmentedControl
        aria-label={t("edit.mode")}
        value={ratio ? "ratio" : "content"}
        onChange={(mode) => change(mode === "ratio" ? { rule: undefined, ratio: { percent: 0 } } : { ratio: undefined, rule: { conditions: [FIRST] } })}
        data={[
          { value: "content", label: t("edit.byContent") },
          { value: "ratio", label: t("edit.byRatio") },
        ]}
      />
      {ratio ? (
        <RatioFields ratio={ratio} routes={known} set={(next) => change({ ratio: next })} wrong={wrong} />
      ) : (
        <RuleFields rule={rule ?? {}} set={(next) => change({ rule: next })} wrong={wrong} />
      )}
      <Switch label={t("overview.on")} checked={document.enabled !== false} onChange={(event) => change({ enabled: event.currentTarget.checked })} />
      <Group grow align="flex-start">
        <NumberInput label={t("edit.priority")} description={t("edit.priorityText")} value={Number(document.priority ?? 100)} onChange={(value) => change({ priority: value === "" ? undefined : value })} error={wrong("priority")} />
        {typeof fallback === "string" ? (
          <Select label={t("edit.fallback")} description={t("edit.fallbackText")} data={["base", "none"]} value={fallback} onChange={(value) => change({ fallback: value ?? undefined })} allowDeselect={false} />
        ) : (
          <Text size="sm">{t("edit.onlyYaml", { fields: "fallback" })}</Text>
        )}
      </Group>
      <MultiSelect
        label={t("edit.routes")}
        description={t("edit.routesText")}
        data={known}
        value={(document.routes as string[] | undefined) ?? []}
        onChange={(value) => change({ routes: value.length ? value : undefined })}
        error={wrong("routes")}
        clearButtonProps={{ "aria-label": t("edit.everyRoute") }}
      />
      <Group grow align="flex-start">
        <TextInput label={t("edit.from")} placeholder="2027-01-31T12:00:00Z" value={text("from")} onChange={(event) => change({ from: event.currentTarget.value || undefined })} error={wrong("from")} />
        <TextInput label={t("edit.until")} placeholder="2027-02-28T12:00:00Z" value={text("until")} onChange={(event) => change({ until: event.currentTarget.value || undefined })} error={wrong("until")} />
      </Group>
    </>
  );
}

function RuleFields({ rule, set, wrong }: { rule: Rule; set: (rule: Rule) => void; wrong: Wrong }) {
  const { t } = useTranslation();
  const conditions = rule.conditions ?? [];
  const put = (index: number, next: Condition | null) =>
    set({ ...rule, conditions: conditions.flatMap((one, at) => (at !== index ? [one] : next ? [next] : [])) });
  return (
    <Fieldset legend={t("edit.rule")}>
      <Stack gap="sm">
        {conditions.length > 1 && (
          <SegmentedControl
            aria-label={t("edit.match")}
            value={rule.match ?? "all"}
            onChange={(match) => set({ ...rule, match: match as "all" | "any" })}
            data={[
              { value: "all", label: t("edit.all") },
              { value: "any", label: t("edit.any") },
            ]}
          />
        )}
        {conditions.map((one, index) => (
          // biome-ignore lint: conditions have no other identity than their place
          <ConditionFields key={index} at={index} condition={one} set={(next) => put(index, next)} wrong={wrong} last={conditions.length === 1} />
        ))}
        <Button variant="default" size="xs" onClick={() => set({ ...rule, conditions: [...conditions, FIRST] })}>{t("edit.addCondition")}</Button>
      </Stack>
    </Fieldset>
  );
}

interface ConditionProps {
  at: number;
  condition: Condition;
  set: (condition: Condition | null) => void;
  wrong: Wrong;
  last: boolean;
}

function ConditionFields({ at, condition, set, wrong, last }: ConditionProps) {
  const { t } = useTranslation();
  const { source, operator, value } = condition;
  const field = `rule.conditions[${at}]`;
  const fitting = (next: Condition): Condition => {
    const made: Condition = { source: next.source, operator: next.operator };
    if (NAMED.includes(next.source)) made.name = next.name ?? "";
    if (["exists", "absent"].includes(next.operator)) return made;
    if (next.operator === "in") made.value = Array.isArray(next.value) ? next.value : next.value ? [String(next.value)] : [];
    else if (next.operator === "percentage") made.value = typeof next.value === "number" ? next.value : 0;
    else made.value = Array.isArray(next.value) ? String(next.value[0] ?? "") : String(next.value ?? "");
    return made;
  };
  const put = (some: Partial<Condition>) => set(fitting({ ...condition, ...some }));
  const number = t("edit.condition", { number: at + 1 });
  return (
    <Group align="flex-end" gap="xs" role="group" aria-label={number}>
      <Select label={t("edit.source")} data={SOURCES} value={source} onChange={(next) => next && put({ source: next })} allowDeselect={false} w={140} error={wrong(`${field}.source`)} />
      {NAMED.includes(source) && <TextInput label={t("edit.name")} value={condition.name ?? ""} onChange={(event) => put({ name: event.currentTarget.value })} w={140} error={wrong(`${field}.name`)} />}
      <Select label={t("edit.operator")} data={OPERATORS} value={operator} onChange={(next) => next && put({ operator: next })} allowDeselect={false} w={130} error={wrong(`${field}.operator`)} />
      {operator === "in" ? (
        <TagsInput label={t("edit.values")} value={(value as string[] | undefined) ?? []} onChange={(next) => put({ value: next })} w={220} error={wrong(`${field}.value`)} />
      ) : operator === "percentage" ? (
        <NumberInput label={t("share.percent")} value={Number(value ?? 0)} onChange={(next) => put({ value: Number(next) })} w={140} error={wrong(`${field}.value`)} />
      ) : ["exists", "absent"].includes(operator) ? null : (
        <TextInput label={t("edit.value")} value={String(value ?? "")} onChange={(event) => put({ value: event.currentTarget.value })} w={180} error={wrong(`${field}.value`)} />
      )}
      {!last && <Button variant="default" size="sm" onClick={() => set(null)} aria-label={`${t("edit.remove")}: ${number}`}>{t("edit.remove")}</Button>}
    </Group>
  );
}

function RatioFields({ ratio, routes: known, set, wrong }: { ratio: Ratio; routes: string[]; set: (ratio: Ratio) => void; wrong: Wrong }) {
  const { t } = useTranslation();
  const own = ratio.routes ?? {};
  const put = (route: string, value: number | string) => {
    const { [route]: _, ...others } = own;
    const next = value === "" ? others : { ...others, [route]: Number(value) };
    const { routes: __, ...rest } = ratio;
    set(Object.keys(next).length ? { ...rest, routes: next } : rest);
  };
  return (
    <Fieldset legend={t("edit.byRatio")}>
      <Stack gap="sm">
        <NumberInput label={t("share.percent")} value={ratio.percent ?? 0} onChange={(value) => set({ ...ratio, percent: Number(value) })} min={0} max={100} decimalScale={2} suffix=" %" error={wrong("ratio.percent")} />
        {known.map((route) => (
          <NumberInput key={route} label={t("edit.shareOn", { route })} placeholder={`${ratio.percent ?? 0} %`} value={own[route] ?? ""} onChange={(value) => put(route, value)} min={0} max={100} decimalScale={2} suffix=" %" error={wrong(`ratio.routes.${route}`)} />
        ))}
        {ratio.sticky && <Text size="sm">{t("edit.onlyYaml", { fields: "ratio.sticky" })}</Text>}
      </Stack>
    </Fieldset>
  );
}

/** Which instances have the tag, while it is typed. */
function TagMatches({ group, tag }: { group: string; tag: string }) {
  const { t } = useTranslation();
  const [asked] = useDebouncedValue(tag, 300);
  const { data } = useQuery({ ...tagMatches(group, asked), enabled: asked !== "" && group !== "" });
  if (!data || asked === "") return null;
  const lines = data.applications.flatMap((one: Schemas["ApplicationMatch"]) => one.services.map((service) => ({ application: one.application, ...service })));
  return (
    <Alert title={t("edit.matches", { tag: asked })} color="blue" role="status">
      <List size="sm">
        {lines.map((one) => (
          <List.Item key={`${one.application} ${one.service}`}>
            {one.application}, {one.service}: {one.tagged.length ? one.tagged.join(", ") : t("group.fallsBack")}
          </List.Item>
        ))}
      </List>
    </Alert>
  );
}
