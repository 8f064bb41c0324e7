/** The fields of a lane, all that its YAML beside can have. */
import { Alert, Group, List, MultiSelect, NumberInput, SegmentedControl, Switch, Text, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { ApiError, type Schemas } from "../../api/client";
import type { Document } from "../../api/effects";
import { groups, routes, tagMatches } from "../../api/queries";
import { AnswerFields, type Headers } from "./AnswerFields";
import type { Wrong } from "./Editor";
import { type Fallback, FallbackFields } from "./FallbackFields";
import { Expected } from "./Expected";
import { type Ratio, RatioFields } from "./RatioFields";
import { FIRST, type Rule, RuleFields } from "./RuleFields";
import { TimeFields } from "./TimeFields";

export const LANE_FIELDS = [
  "kind", "group", "name", "tag", "enabled", "enabled_until", "priority", "routes", "fallback", "rule", "ratio", "from", "until", "schedule", "response_headers",
];

interface Props {
  document: Document;
  change: (change: Document) => void;
  wrong: Wrong;
  isNew: boolean;
}

export function LaneForm({ document, change, wrong, isNew }: Props) {
  const { t } = useTranslation();
  const group = String(document.group ?? "");
  const mine = useQuery(groups).data?.find((one) => one.name === group);
  const known = (useQuery(routes).data ?? []).filter((one) => one.gateway === mine?.gateway && one.service).map((one) => one.name);
  const ratio = document.ratio as Ratio | undefined;
  const rule = document.rule as Rule | undefined;
  const text = (field: string) => String(document[field] ?? "");
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
        <RatioFields lane={document} ratio={ratio} routes={known} set={(next) => change({ ratio: next })} wrong={wrong} />
      ) : (
        <RuleFields rule={rule ?? {}} set={(next) => change({ rule: next })} wrong={wrong} />
      )}
      <Expected gateway={mine?.gateway} lane={document} />
      <Switch label={t("overview.on")} checked={document.enabled !== false} onChange={(event) => change({ enabled: event.currentTarget.checked })} />
      <NumberInput label={t("edit.priority")} description={t("edit.priorityText")} value={Number(document.priority ?? 100)} onChange={(value) => change({ priority: value === "" ? undefined : value })} error={wrong("priority")} maw={240} />
      <MultiSelect
        label={t("edit.routes")}
        description={t("edit.routesText")}
        data={known}
        value={(document.routes as string[] | undefined) ?? []}
        onChange={(value) => change({ routes: value.length ? value : undefined })}
        error={wrong("routes")}
        clearButtonProps={{ "aria-label": t("edit.everyRoute") }}
      />
      <FallbackFields fallback={(document.fallback as Fallback | undefined) ?? "base"} applications={mine?.applications ?? []} set={(fallback) => change({ fallback })} wrong={wrong} />
      <TimeFields document={document} change={change} wrong={wrong} />
      <AnswerFields headers={document.response_headers as Headers | undefined} set={(response_headers) => change({ response_headers })} wrong={wrong} />
    </>
  );
}

/** Which instances have the tag, while it is typed. */
function TagMatches({ group, tag }: { group: string; tag: string }) {
  const { t } = useTranslation();
  const [asked] = useDebouncedValue(tag, 300);
  const { data, error } = useQuery({ ...tagMatches(group, asked), enabled: asked !== "" && group !== "" });
  if (asked === "" || (!data && !error)) return null;
  if (error) return <Text size="sm">{error instanceof ApiError ? error.message : String(error)}</Text>;
  const lines = (data?.applications ?? []).flatMap((one: Schemas["ApplicationMatch"]) => one.services.map((service) => ({ application: one.application, ...service })));
  const serving = lines.filter((one) => one.tagged.length > 0).length;
  return (
    <Alert title={t("edit.matches", { tag: asked })} color={serving ? "blue" : "yellow"} role="status">
      <Text size="sm">{t("edit.matchesCount", { count: serving, all: lines.length })}</Text>
      <List size="sm">
        {lines.map((one) => (
          <List.Item key={`${one.application} ${one.service}`}>
            {one.application}, {one.service}: {one.tagged.length ? one.tagged.join(", ") : t("group.fallsBack")}
            {(one.unhealthy ?? []).length > 0 && ` (▲ ${t("services.unhealthy")}: ${(one.unhealthy ?? []).join(", ")})`}
          </List.Item>
        ))}
      </List>
    </Alert>
  );
}
