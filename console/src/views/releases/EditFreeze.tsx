/** A freeze as form and as YAML: a new one, or one that there is. */
import { Alert } from "@mantine/core";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../../api/client";
import { freezePath } from "../../api/queries";
import { Editor } from "../edit/Editor";
import { useEdited } from "../edit/useEdited";
import { FREEZE_FIELDS, FreezeForm } from "./FreezeForm";

export default function EditFreeze() {
  const { t } = useTranslation();
  const { freeze } = useParams({ strict: false }) as { freeze?: string };
  const navigate = useNavigate();
  const { begun, error, stored, again } = useEdited<Schemas["Freeze"]>(freeze === undefined ? null : freezePath(freeze));
  if (error) return <Alert color="red" role="alert" title={error.message} />;
  if (freeze !== undefined && !begun) return null;
  return (
    <Editor
      key={begun?.at}
      title={freeze === undefined ? t("freezes.new") : t("freezes.one", { name: freeze })}
      first={begun?.first ?? { kind: "Freeze", name: "", reason: t("freezes.example") }}
      stored={stored}
      again={again}
      match={begun?.match}
      fields={FREEZE_FIELDS}
      path={(one) => freezePath(String(one.name))}
      done={() => void navigate({ to: "/releases" })}
      form={(edited, change, wrong) => <FreezeForm document={edited} change={change} wrong={wrong} isNew={freeze === undefined} />}
    />
  );
}
