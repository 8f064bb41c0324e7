/** The checks of a release: each measure has its own fields, and the query that gives its figure in Prometheus. */
import { Code, Select, SimpleGrid, Text, Textarea } from "@mantine/core";
import { useTranslation } from "react-i18next";
import type { Part, Schemas } from "../../api/client";
import type { Wrong } from "../edit/Editor";
import { type Given, Items } from "../edit/Items";
import { NumberField, TextField } from "../edit/inputs";
import { queryOf } from "./Plan";

export type Check = Part<Schemas["Check"], "measure">;
type Measure = Check["measure"];
const COUNTED = ["max", "above_base", "window", "requests"];
const OF: Record<Measure, readonly string[]> = {
  error_rate: COUNTED,
  latency: ["quantile", ...COUNTED],
  fallbacks: COUNTED,
  refusals: COUNTED,
  query: ["prometheus", "query", "min", "max"],
};
/** Stored with every check; a query says itself what it looks at, and has no use for them. */
const STORED = ["window", "requests"];
const MEASURES = Object.keys(OF) as Measure[];
const fieldsOf = (measure: Measure) => ["measure", ...(OF[measure] ?? []), "failures"];

/** Of another measure: what does not belong to it is left out. */
function measured(check: Check, measure: Measure): Given<Check> {
  const kept = Object.fromEntries(Object.keys(check).map((name) => [name, fieldsOf(measure).includes(name) ? check[name as keyof Check] : undefined]));
  return { ...kept, measure, ...(measure === "latency" && { quantile: check.quantile ?? 0.99 }), ...(measure !== check.measure && { max: undefined, above_base: undefined }) };
}

interface Props {
  checks: Check[];
  lane: string;
  set: (checks: Check[]) => void;
  wrong: Wrong;
}

export function CheckFields({ checks, lane, set, wrong }: Props) {
  const { t } = useTranslation();
  return (
    <Items<Check>
      legend={t("releases.checks")}
      description={t("plan.checksText")}
      field="checks"
      items={checks}
      set={set}
      wrong={wrong}
      name={(number) => t("plan.check", { number })}
      add={t("plan.addCheck")}
      first={() => ({ measure: "error_rate", max: 1 })}
      fields={(one) => [...fieldsOf(one.measure), ...STORED]}
      form={(one, put, field) => {
        const has = (name: string) => (OF[one.measure] ?? COUNTED).includes(name);
        const unit = t(`plan.unit_${one.measure === "latency" || one.measure === "query" ? one.measure : "percent"}`);
        return (
          <>
            <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
              <Select
                label={t("plan.measure")}
                data={MEASURES.map((value) => ({ value, label: t(`plan.of_${value}`) }))}
                value={one.measure}
                onChange={(next) => next && put(measured(one, next as Measure))}
                allowDeselect={false}
               
                error={wrong(`${field}.measure`)}
              />
              {has("quantile") && <NumberField label={t("plan.quantile")} placeholder="0.99" value={one.quantile} put={(quantile) => put({ quantile })} min={0} max={1} error={wrong(`${field}.quantile`)} />}
            </SimpleGrid>
            {has("prometheus") && <TextField label={t("plan.prometheus")} placeholder="https://prometheus.example.com" value={one.prometheus} put={(prometheus) => put({ prometheus })} error={wrong(`${field}.prometheus`)} />}
            {has("query") && <Textarea label={t("plan.query")} value={one.query ?? ""} onChange={(event) => put({ query: event.currentTarget.value || undefined })} autosize minRows={1} maxRows={6} spellCheck={false} error={wrong(`${field}.query`)} />}
            <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
              {has("min") && <NumberField label={t("plan.min")} value={one.min} put={(min) => put({ min })} error={wrong(`${field}.min`)} />}
              <NumberField label={t("plan.max", { unit })} value={one.max} put={(max) => put({ max })} error={wrong(`${field}.max`)} />
              {has("above_base") && <NumberField label={t("plan.aboveBase", { unit })} value={one.above_base} put={(above_base) => put({ above_base })} min={0} error={wrong(`${field}.above_base`)} />}
            </SimpleGrid>
            <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
              {has("window") && <TextField label={t("plan.window")} placeholder="1m" value={one.window} put={(window) => put({ window })} error={wrong(`${field}.window`)} />}
              {has("requests") && <NumberField label={t("plan.requests")} placeholder="50" value={one.requests} put={(requests) => put({ requests })} min={1} error={wrong(`${field}.requests`)} />}
              <NumberField label={t("plan.failures")} placeholder="1" value={one.failures} put={(failures) => put({ failures })} min={1} max={100} error={wrong(`${field}.failures`)} />
            </SimpleGrid>
            {one.measure !== "query" && <Text size="xs">{t("group.query")} <Code>{queryOf(one, lane)}</Code></Text>}
          </>
        );
      }}
    />
  );
}
