/** When a lane may be used. */
import { Checkbox, Fieldset, Group, Select, Stack, Switch, TagsInput, TextInput } from "@mantine/core";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../../api/client";
import type { Document } from "../../api/effects";
import type { Wrong } from "./Editor";
import { type Given, given } from "./Items";

const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;
type Schedule = Schemas["Schedule"];

interface Props {
  document: Document;
  change: (change: Document) => void;
  wrong: Wrong;
}

export function TimeFields({ document, change, wrong }: Props) {
  const { t } = useTranslation();
  const schedule = document.schedule as Schedule | undefined;
  const instant = (field: string, label: string, description: string, placeholder: string) => (
    <TextInput label={label} description={description} placeholder={placeholder} value={String(document[field] ?? "")} onChange={(event) => change({ [field]: event.currentTarget.value || undefined })} error={wrong(field)} />
  );
  return (
    <Fieldset legend={t("edit.times")}>
      <Stack gap="sm">
        <Group grow align="flex-start">
          {instant("from", t("edit.from"), t("edit.fromText"), "2027-01-31T12:00:00Z")}
          {instant("until", t("edit.until"), t("edit.untilText"), "2027-02-28T12:00:00Z")}
          {instant("enabled_until", t("edit.enabledUntil"), t("edit.enabledUntilText"), "2027-01-31T14:00:00Z")}
        </Group>
        <Switch
          label={t("edit.schedule")}
          checked={schedule !== undefined}
          onChange={(event) => change({ schedule: event.currentTarget.checked ? { time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone } : undefined })}
          error={wrong("schedule", "only")}
        />
        {schedule && <ScheduleFields schedule={schedule} put={(some) => change({ schedule: given({ ...schedule, ...some }) })} field="schedule" wrong={wrong} />}
      </Stack>
    </Fieldset>
  );
}

interface ScheduleProps {
  schedule: Partial<Schedule>;
  put: (some: Given<Schedule>) => void;
  /** Where it is in the document. */
  field: string;
  wrong: Wrong;
}

/** Days and hours of the week, by the clocks of a time zone. */
export function ScheduleFields({ schedule, put, field, wrong }: ScheduleProps) {
  const { t } = useTranslation();
  const hours = schedule.hours == null ? [] : [schedule.hours].flat();
  const zones = [...new Set(["UTC", ...Intl.supportedValuesOf("timeZone"), ...(schedule.time_zone ? [schedule.time_zone] : [])])];
  return (
    <>
      <Checkbox.Group label={t("edit.days")} description={t("edit.daysText")} value={schedule.days ?? []} onChange={(days) => put({ days: days.length ? DAYS.filter((one) => days.includes(one)) : undefined })} error={wrong(`${field}.days`)}>
        <Group gap="md" mt={4}>{DAYS.map((one) => <Checkbox key={one} value={one} label={t(`days.${one}`)} />)}</Group>
      </Checkbox.Group>
      <Group grow align="flex-start">
        <TagsInput label={t("edit.hours")} description={t("edit.hoursText")} placeholder="09:00-17:00" value={hours} onChange={(next) => put({ hours: next.length > 1 ? next : next[0] })} error={wrong(`${field}.hours`)} acceptValueOnBlur />
        <Select label={t("edit.zone")} description={t("edit.zoneText")} data={zones} value={schedule.time_zone ?? null} onChange={(value) => put({ time_zone: value ?? undefined })} searchable limit={100} allowDeselect={false} error={wrong(`${field}.time_zone`)} />
      </Group>
    </>
  );
}
