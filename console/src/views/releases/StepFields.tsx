/** The steps of a release: share, hold time, and who approves. */
import { SimpleGrid, Switch } from "@mantine/core";
import { useTranslation } from "react-i18next";
import type { Part, Schemas } from "../../api/client";
import type { Wrong } from "../edit/Editor";
import { Items } from "../edit/Items";
import { NumberField, TextField } from "../edit/inputs";

export type Step = Part<Schemas["Step"], "percent">;
const FIELDS = ["percent", "hold", "approval", "persons", "by_others"];

export function StepFields({ steps, set, wrong }: { steps: Step[]; set: (steps: Step[]) => void; wrong: Wrong }) {
  const { t } = useTranslation();
  return (
    <Items<Step>
      legend={t("releases.steps")}
      description={t("plan.stepsText")}
      field="steps"
      items={steps}
      set={set}
      wrong={wrong}
      name={(number) => t("plan.step", { number })}
      add={t("plan.addStep")}
      first={(last) => ({ percent: last ? 100 : 5, hold: last?.hold ?? "5m" })}
      fields={() => FIELDS}
      form={(one, put, field) => (
        <>
          <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
            <NumberField label={t("share.percent")} value={one.percent} put={(percent) => put({ percent })} min={0} max={100} decimalScale={2} suffix=" %" required error={wrong(`${field}.percent`)} />
            <TextField label={t("plan.hold")} placeholder="0s" value={one.hold} put={(hold) => put({ hold })} error={wrong(`${field}.hold`)} />
          </SimpleGrid>
          <Switch
            label={t("plan.approval")}
            checked={one.approval === true}
            onChange={(event) => put(event.currentTarget.checked ? { approval: true } : { approval: undefined, persons: undefined, by_others: undefined })}
            error={wrong(`${field}.approval`)}
          />
          {(one.approval || one.persons != null || one.by_others != null) && (
            <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
              <NumberField label={t("plan.persons")} placeholder="1" value={one.persons} put={(persons) => put({ persons })} min={1} max={5} error={wrong(`${field}.persons`)} />
              <Switch label={t("plan.byOthers")} checked={one.by_others === true} onChange={(event) => put({ by_others: event.currentTarget.checked ? true : undefined })} error={wrong(`${field}.by_others`)} pb={8} />
            </SimpleGrid>
          )}
        </>
      )}
    />
  );
}
