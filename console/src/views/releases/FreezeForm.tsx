/** The fields of a freeze. */
import { MultiSelect, SimpleGrid } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import type { Document } from "../../api/effects";
import { groups } from "../../api/queries";
import type { Wrong } from "../edit/Editor";
import { TextField } from "../edit/inputs";

export const FREEZE_FIELDS = ["kind", "name", "from", "until", "groups", "reason"];

interface Props {
  document: Document;
  change: (change: Document) => void;
  wrong: Wrong;
  isNew: boolean;
}

export function FreezeForm({ document, change, wrong, isNew }: Props) {
  const { t } = useTranslation();
  const chosen = Array.isArray(document.groups) ? document.groups.map(String) : [];
  const known = (useQuery(groups).data ?? []).map((one) => one.name);
  return (
    <>
      <TextField label={t("edit.name")} value={document.name} put={(name) => change({ name: name ?? "" })} required error={wrong("name")} {...(!isNew && { disabled: true })} />
      <TextField label={t("plan.reason")} description={t("plan.reasonText")} value={document.reason} put={(reason) => change({ reason })} error={wrong("reason")} />
      <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
        <TextField label={t("edit.from")} description={t("plan.freezeFrom")} placeholder="2026-12-18T00:00:00+01:00" value={document.from} put={(from) => change({ from })} error={wrong("from")} />
        <TextField label={t("edit.until")} description={t("plan.freezeUntil")} placeholder="2027-01-04T00:00:00+01:00" value={document.until} put={(until) => change({ until })} error={wrong("until")} />
      </SimpleGrid>
      <MultiSelect
        label={t("overview.groups")}
        description={t("plan.freezeGroups")}
        data={[...new Set([...known, ...chosen])]}
        value={chosen}
        onChange={(value) => change({ groups: value.length ? value : undefined })}
        error={wrong("groups")}
        searchable
        clearButtonProps={{ "aria-label": t("freezes.all") }}
      />
    </>
  );
}
