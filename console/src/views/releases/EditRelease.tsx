/** A release as form and as YAML. */
import { Alert } from "@mantine/core";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../../api/client";
import { releasePath } from "../../api/queries";
import { Editor } from "../edit/Editor";
import { useEdited } from "../edit/useEdited";
import { RELEASE_FIELDS, ReleaseForm } from "./ReleaseForm";

export default function EditRelease() {
  const { t } = useTranslation();
  const { group, release } = useParams({ strict: false }) as { group: string; release: string };
  const navigate = useNavigate();
  const path = releasePath(group, release);
  const { begun, error, stored, again } = useEdited<Schemas["Release"]>(path);
  if (error) return <Alert color="red" role="alert" title={error.message} />;
  if (!begun) return null;
  const { progress: _, ...first } = begun.first;
  const { progress: __, ...now } = stored ?? begun.first;
  return (
    <Editor
      key={begun.at}
      title={t("releases.one", { release })}
      first={first}
      stored={now}
      again={again}
      match={begun.match}
      fields={RELEASE_FIELDS}
      path={() => path}
      done={() => void navigate({ to: `/releases/${encodeURIComponent(group)}/${encodeURIComponent(release)}` })}
      form={(edited, change, wrong) => <ReleaseForm document={edited} change={change} wrong={wrong} isNew={false} />}
    />
  );
}
