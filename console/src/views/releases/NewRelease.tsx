/** A new release as form and as YAML, from an example for the group. */
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import { lanes, releasePath } from "../../api/queries";
import { Editor } from "../edit/Editor";
import { RELEASE_FIELDS, ReleaseForm } from "./ReleaseForm";

export default function NewRelease() {
  const { t } = useTranslation();
  const { group } = useParams({ strict: false }) as { group: string };
  const navigate = useNavigate();
  const known = useQuery(lanes).data;
  if (!known) return null;
  const lane = known.find((one) => one.group === group && one.ratio)?.name ?? "";
  return (
    <Editor
      title={t("releases.newIn", { group })}
      first={{
        kind: "Release",
        group,
        name: lane && `${lane}-release`,
        lane,
        steps: [{ percent: 5, hold: "5m" }, { percent: 25, hold: "5m", approval: true }, { percent: 100, hold: "5m" }],
        checks: [{ measure: "error_rate", above_base: 1, window: "1m", requests: 50 }],
      }}
      fields={RELEASE_FIELDS}
      path={(one) => releasePath(String(one.group), String(one.name))}
      done={(one) => void navigate({ to: `/releases/${encodeURIComponent(String(one.group))}/${encodeURIComponent(String(one.name))}` })}
      form={(edited, change, wrong) => <ReleaseForm document={edited} change={change} wrong={wrong} isNew />}
    />
  );
}
