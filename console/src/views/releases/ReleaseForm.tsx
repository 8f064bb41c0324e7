/** The fields of a release, all that its YAML beside can have. */
import { Select, SimpleGrid } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import type { Part, Schemas } from "../../api/client";
import type { Document } from "../../api/effects";
import { groups, lanes } from "../../api/queries";
import { useRights } from "../../api/rights";
import type { Wrong } from "../edit/Editor";
import { Items } from "../edit/Items";
import { ScheduleFields } from "../edit/TimeFields";
import { TextField } from "../edit/inputs";
import { type Check, CheckFields } from "./CheckFields";
import { type Hook, HookFields } from "./HookFields";
import { type Step, StepFields } from "./StepFields";

type Release = Schemas["Release"];
/** `progress` is written by the control plane alone. */
export const RELEASE_FIELDS = ["kind", "group", "name", "lane", "steps", "checks", "hooks", "windows", "interval", "patience", "at_end"];
const WINDOW_FIELDS = ["days", "hours", "time_zone"];

interface Props {
  document: Document;
  change: (change: Document) => void;
  wrong: Wrong;
  isNew: boolean;
}

/** A list of the document; what is typed into the YAML may be anything. */
const list = <T,>(value: unknown): T[] => (Array.isArray(value) ? value.filter((one) => one !== null && typeof one === "object") : []);

export function ReleaseForm({ document, change, wrong, isNew }: Props) {
  const { t } = useTranslation();
  const { operates } = useRights();
  const text = (field: string) => String(document[field] ?? "");
  const group = text("group");
  const lane = text("lane");
  const mine = (useQuery(groups).data ?? []).map((one) => one.name).filter(operates);
  const ratio = (useQuery(lanes).data ?? []).filter((one) => one.group === group && one.ratio).map((one) => one.name);
  const some = <T,>(field: string, items: T[]) => change({ [field]: items.length ? items : undefined });
  return (
    <>
      <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
        <TextField label={t("edit.name")} value={document.name} put={(name) => change({ name: name ?? "" })} required error={wrong("name")} {...(!isNew && { disabled: true })} />
        <Select label={t("overview.group")} data={[...new Set([...mine, ...(group ? [group] : [])])]} value={group || null} onChange={(next) => next && change({ group: next, lane: "" })} allowDeselect={false} searchable disabled={!isNew} error={wrong("group")} />
      </SimpleGrid>
      <Select label={t("overview.lane")} description={t("plan.laneText")} data={[...new Set([...ratio, ...(lane ? [lane] : [])])]} value={lane || null} onChange={(next) => next && change({ lane: next })} allowDeselect={false} searchable required nothingFoundMessage={t("plan.noLane")} error={wrong("lane")} />
      <StepFields steps={list<Step>(document.steps)} set={(steps) => change({ steps })} wrong={wrong} />
      <CheckFields checks={list<Check>(document.checks)} lane={lane} set={(checks) => some("checks", checks)} wrong={wrong} />
      <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
        <TextField label={t("plan.interval")} placeholder="10s" value={document.interval} put={(interval) => change({ interval })} error={wrong("interval")} />
        <TextField label={t("plan.patience")} placeholder="1h" value={document.patience} put={(patience) => change({ patience })} error={wrong("patience")} />
      </SimpleGrid>
      <Select
        label={t("plan.atEnd")}
        data={[
          { value: "wait", label: t("releases.keeps") },
          { value: "promote", label: t("releases.promotes") },
        ]}
        value={text("at_end") || "wait"}
        onChange={(next) => next && change({ at_end: next as Release["at_end"] })}
        allowDeselect={false}
        error={wrong("at_end")}
      />
      <HookFields hooks={list<Hook>(document.hooks)} set={(hooks) => some("hooks", hooks)} wrong={wrong} />
      <Items
        legend={t("plan.windows")}
        description={t("plan.windowsText")}
        field="windows"
        items={list<Part<Schemas["Schedule"], "time_zone">>(document.windows)}
        set={(windows) => some("windows", windows)}
        wrong={wrong}
        name={(number) => t("plan.window_", { number })}
        add={t("plan.addWindow")}
        first={() => ({ hours: "09:00-16:00", time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone })}
        fields={() => WINDOW_FIELDS}
        form={(one, put, field) => <ScheduleFields schedule={one} put={put} field={field} wrong={wrong} />}
      />
    </>
  );
}
