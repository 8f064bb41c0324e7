/** The web hooks of a release. */
import { Select, SimpleGrid } from "@mantine/core";
import { useTranslation } from "react-i18next";
import type { Part, Schemas } from "../../api/client";
import type { Wrong } from "../edit/Editor";
import { Items } from "../edit/Items";
import { NumberField, TextField } from "../edit/inputs";

export type Hook = Part<Schemas["Hook"], "name" | "when" | "url">;
const FIELDS = ["name", "when", "url", "timeout", "failures"];
const WHEN: Hook["when"][] = ["before", "during", "after"];

export function HookFields({ hooks, set, wrong }: { hooks: Hook[]; set: (hooks: Hook[]) => void; wrong: Wrong }) {
  const { t } = useTranslation();
  return (
    <Items<Hook>
      legend={t("releases.hooks")}
      description={t("plan.hooksText")}
      field="hooks"
      items={hooks}
      set={set}
      wrong={wrong}
      name={(number) => t("plan.hook", { number })}
      add={t("plan.addHook")}
      first={() => ({ name: "", when: "before", url: "https://" })}
      fields={() => FIELDS}
      form={(one, put, field) => (
        <>
          <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
            <TextField label={t("edit.name")} value={one.name} put={(name) => put({ name: name ?? "" })} required error={wrong(`${field}.name`)} />
            <Select label={t("plan.when")} data={WHEN.map((value) => ({ value, label: t(`plan.when_${value}`) }))} value={one.when} onChange={(next) => next && put({ when: next as Hook["when"] })} allowDeselect={false} error={wrong(`${field}.when`)} />
          </SimpleGrid>
          <TextField label={t("plan.url")} value={one.url} put={(url) => put({ url: url ?? "" })} required error={wrong(`${field}.url`)} />
          <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
            <TextField label={t("plan.timeout")} placeholder="10s" value={one.timeout} put={(timeout) => put({ timeout })} error={wrong(`${field}.timeout`)} />
            <NumberField label={t("plan.hookFailures")} placeholder="1" value={one.failures} put={(failures) => put({ failures })} min={1} max={100} error={wrong(`${field}.failures`)} />
          </SimpleGrid>
        </>
      )}
    />
  );
}
