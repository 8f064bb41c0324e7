import { Alert } from "@mantine/core";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../../api/client";
import { lanePath } from "../../api/queries";
import { Editor } from "./Editor";
import { LANE_FIELDS, LaneForm } from "./LaneForm";
import { useEdited } from "./useEdited";

export default function EditLane() {
  const { t } = useTranslation();
  const { group, lane } = useParams({ strict: false }) as { group: string; lane: string };
  const back = useBack(group);
  const path = lanePath(group, lane);
  const { begun, error, stored, again } = useEdited<Schemas["Lane"]>(path);
  if (error) return <Alert color="red" role="alert" title={error.message} />;
  if (!begun) return null;
  return (
    <Editor
      key={begun.at}
      title={t("edit.lane", { lane })}
      first={begun.first}
      stored={stored}
      again={again}
      match={begun.match}
      fields={LANE_FIELDS}
      path={() => path}
      done={back}
      form={(edited, change, wrong) => <LaneForm document={edited} change={change} wrong={wrong} isNew={false} />}
    />
  );
}

export function useBack(group: string) {
  const navigate = useNavigate();
  return () => void navigate({ to: `/groups/${encodeURIComponent(group)}` });
}
