/** The conditions of a lane by content. */
import { Button, Fieldset, Group, NumberInput, SegmentedControl, Select, Stack, TagsInput, Text, TextInput } from "@mantine/core";
import { useTranslation } from "react-i18next";
import type { Wrong } from "./Editor";

type Condition = { source: string; name?: string; operator: string; value?: unknown };
export type Rule = { match?: "all" | "any"; conditions?: Condition[] };
const SOURCES = ["header", "query", "cookie", "method", "path", "host", "client_address"];
const NAMED = ["header", "query", "cookie"];
const OPERATORS = ["==", "!=", "in", "percentage", "regex", "prefix", "exists", "absent"];
const OF_ADDRESSES = ["in", "!="];
export const FIRST: Condition = { source: "header", name: "canary", operator: "==", value: "gray" };

export function RuleFields({ rule, set, wrong }: { rule: Rule; set: (rule: Rule) => void; wrong: Wrong }) {
  const { t } = useTranslation();
  const conditions = rule.conditions ?? [];
  const put = (index: number, next: Condition | null) =>
    set({ ...rule, conditions: conditions.flatMap((one, at) => (at !== index ? [one] : next ? [next] : [])) });
  const whole = wrong("rule", "only") ?? wrong("rule.conditions", "only") ?? wrong("rule.match");
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
        {whole && <Text size="sm" c="var(--mantine-color-error)">{whole}</Text>}
        <Button variant="default" size="xs" onClick={() => set({ ...rule, conditions: [...conditions, FIRST] })}>{t("edit.addCondition")}</Button>
      </Stack>
    </Fieldset>
  );
}

/** A condition whose value has the form that its operator takes. */
function fitting(next: Condition): Condition {
  const operator = next.source === "client_address" && !OF_ADDRESSES.includes(next.operator) ? "in" : next.operator;
  const made: Condition = { source: next.source, operator };
  if (NAMED.includes(next.source)) made.name = next.name ?? "";
  if (["exists", "absent"].includes(operator)) return made;
  if (operator === "in" || next.source === "client_address") made.value = Array.isArray(next.value) ? next.value : next.value ? [String(next.value)] : [];
  else if (operator === "percentage") made.value = typeof next.value === "number" ? next.value : 0;
  else made.value = Array.isArray(next.value) ? String(next.value[0] ?? "") : String(next.value ?? "");
  return made;
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
  const put = (some: Partial<Condition>) => set(fitting({ ...condition, ...some }));
  const number = t("edit.condition", { number: at + 1 });
  const whole = wrong(field, "only");
  return (
    <Group align="flex-start" gap="xs" role="group" aria-label={number}>
      <Select label={t("edit.source")} data={SOURCES} value={source} onChange={(next) => next && put({ source: next })} allowDeselect={false} w={140} error={wrong(`${field}.source`)} />
      {NAMED.includes(source) && <TextInput label={t("edit.name")} value={condition.name ?? ""} onChange={(event) => put({ name: event.currentTarget.value })} w={140} error={wrong(`${field}.name`)} />}
      <Select label={t("edit.operator")} data={source === "client_address" ? OF_ADDRESSES : OPERATORS} value={operator} onChange={(next) => next && put({ operator: next })} allowDeselect={false} w={130} error={wrong(`${field}.operator`)} />
      {operator === "in" || Array.isArray(value) ? (
        <TagsInput label={t("edit.values")} value={Array.isArray(value) ? value.map(String) : []} onChange={(next) => put({ value: next })} w={220} error={wrong(`${field}.value`)} />
      ) : operator === "percentage" ? (
        <NumberInput label={t("share.percent")} value={Number(value ?? 0)} onChange={(next) => put({ value: Number(next) })} w={140} error={wrong(`${field}.value`)} />
      ) : ["exists", "absent"].includes(operator) ? null : (
        <TextInput label={t("edit.value")} value={String(value ?? "")} onChange={(event) => put({ value: event.currentTarget.value })} w={180} error={wrong(`${field}.value`)} />
      )}
      {!last && <Button variant="default" size="sm" mt={25} onClick={() => set(null)} aria-label={`${t("edit.remove")}: ${number}`}>{t("edit.remove")}</Button>}
      {whole && <Text size="sm" c="var(--mantine-color-error)">{whole}</Text>}
    </Group>
  );
}
